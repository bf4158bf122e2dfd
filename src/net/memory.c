#include "net/memory.h"

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where all memory is locked, code was as well, though it holds no secret. */
static void release(void *start, size_t len)
{
    (void)munlock(start, len);
    (void)madvise(start, len, MADV_DONTNEED);
}

static int release_object(struct dl_phdr_info *object, size_t size, void *context)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)size;
    (void)context;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr, end = start + segment->p_memsz;
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
            release((void *)(start & ~(page - 1)), end - (start & ~(page - 1)));
    }
    return 0;
}

void memory_release_code(void)
{
    dl_iterate_phdr(release_object, NULL);
}
