/* Linked into SQLite's testfixture: makes `plimsoll` the default VFS, from the extension that PLIMSOLL_TEST_LIBRARY
   names. A plain path is then a volume in a directory. Without that variable it is SQLite's own VFS, to compare with.
   PLIMSOLL_TEST_BUSY_TIMEOUT_MS is the busy timeout of every connection until it says otherwise. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* Tests of SQL do not pull the plug, and waiting for a disk takes most of their time. Called also by the extension. */
int fsync(int fd) { return fd < 0 ? -1 : 0; }
int fdatasync(int fd) { return fd < 0 ? -1 : 0; }

static int wait_when_busy(sqlite3 *db, char **error, const sqlite3_api_routines *unused) {
  (void)error, (void)unused;
  return sqlite3_busy_timeout(db, atoi(getenv("PLIMSOLL_TEST_BUSY_TIMEOUT_MS")));
}

/* SQLite calls this at the end of each sqlite3_initialize; sqlite3_shutdown forgets which VFS is the default one. */
int plimsoll_by_default(const char *unused) {
  const char *library = getenv("PLIMSOLL_TEST_LIBRARY");
  sqlite3_vfs *vfs = sqlite3_vfs_find("plimsoll");
  (void)unused;
  if (library == NULL) return SQLITE_OK;
  if (vfs == NULL) {
    char *message = NULL;
    sqlite3 *db = NULL;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK || sqlite3_enable_load_extension(db, 1) != SQLITE_OK ||
        sqlite3_load_extension(db, library, NULL, &message) != SQLITE_OK) {
      fprintf(stderr, "loading %s: %s\n", library, message != NULL ? message : sqlite3_errmsg(db));
      exit(1);
    }
    sqlite3_close(db);
    sqlite3_reset_auto_extension();
    if (getenv("PLIMSOLL_TEST_BUSY_TIMEOUT_MS") != NULL) sqlite3_auto_extension((void (*)(void))wait_when_busy);
    vfs = sqlite3_vfs_find("plimsoll");
  }
  return sqlite3_vfs_register(vfs, 1);
}
