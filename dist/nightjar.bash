# bash completion for nightjar

_nightjar_options()
{
    case $1 in
    init) echo --endpoint --all-on-this-host --ipv4 --passphrase-fd --no-passphrase ;;
    invite) echo --group --site --relay --expires --until --qr --wait --passphrase-fd ;;
    revoke | isolate) echo --reason --yes --wait --passphrase-fd ;;
    restore | uninvite) echo --reason --wait --passphrase-fd ;;
    up) echo --darken --keep --listen --foreground ;;
    ping) echo -c ;;
    policy) [[ $2 == publish ]] && echo --wait --passphrase-fd ;;
    esac
    echo --state --json --quiet --help
}

_nightjar()
{
    local cur prev command=() word i
    _get_comp_words_by_ref cur prev 2>/dev/null || { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD - 1]}; }
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $word == --state ]] && { ((i++)); continue; }
        [[ $word == -* ]] || command+=("$word")
    done
    case $prev in
    --state)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    --ipv4)
        mapfile -t COMPREPLY < <(compgen -W none -- "$cur")
        return
        ;;
    --endpoint | --relay | --group | --site | --expires | --until | --keep | --listen | --reason | --passphrase-fd | -c) return ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_nightjar_options "${command[@]}")" -- "$cur")
    elif ((${#command[@]} == 0)); then
        mapfile -t COMPREPLY < <(compgen -W "init invite uninvite revoke isolate restore join up down status devices doctor ping can policy" -- "$cur")
    elif [[ ${command[*]} == policy ]]; then
        mapfile -t COMPREPLY < <(compgen -W "check test diff publish show" -- "$cur")
    elif [[ ${command[0]} == can ]] && ((${#command[@]} == 2)); then
        mapfile -t COMPREPLY < <(compgen -W "tcp udp icmp publish subscribe coap" -- "$cur")
    elif [[ ${command[0]} == join || ${command[0]} == policy ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

complete -F _nightjar nightjar
