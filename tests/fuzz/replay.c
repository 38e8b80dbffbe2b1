// SPDX-License-Identifier: Apache-2.0
// Runs a target over files instead of a fuzzer's inputs: the regression test of
// what was found, and the way to look at one finding under a debugger. usage:
// fuzz_NAME FILE-OR-FOLDER...
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { MAX_INPUT_BYTES = 16 * 1024 * 1024 };

static unsigned inputs;

static void run_file(const char *path) {
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info) != 0 || info.st_size > MAX_INPUT_BYTES) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    // Exactly as large as the input: whatever is read past its end is caught.
    size_t size = (size_t)info.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    inputs++;
}

static void run_folder(const char *path, DIR *folder) {
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        char name[4096];
        int len = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && len > 0 && (size_t)len < sizeof name) {
            fprintf(stderr, "%s\n", name); // the last one shown is the one that fails
            run_file(name);
        }
    }
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        if (folder) {
            run_folder(argv[i], folder);
            closedir(folder);
        } else {
            run_file(argv[i]);
        }
    }
    printf("%u inputs\n", inputs);
    return inputs ? 0 : 1;
}
