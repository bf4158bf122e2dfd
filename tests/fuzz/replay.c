/* Stands in for libFuzzer: runs a target on every file of a corpus, each in a block of its exact size, so that
 * AddressSanitizer sees one byte too many. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END))
        return perror(path), NULL;
    long length = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(length > 0 ? (size_t)length : 1);
    *size = bytes ? fread(bytes, 1, (size_t)length, file) : 0;
    fclose(file);
    return bytes;
}

static int replay_file(const char *path)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    if (!bytes)
        return -1;
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    return 0;
}

static int replay_folder(const char *folder, DIR *dir)
{
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (replay_file(path))
            return -1;
        count++;
    }
    return count;
}

/* Speaks TAP: one test, of the target that the folder is named for. A corpus that is missing or empty fails it. */
int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    int count = dir ? replay_folder(argv[1], dir) : -1;
    if (dir)
        closedir(dir);
    printf("1..1\n%s 1 - %s: %d inputs\n", count > 0 ? "ok" : "not ok", basename(argv[1]), count > 0 ? count : 0);
    return count > 0 ? 0 : 1;
}
