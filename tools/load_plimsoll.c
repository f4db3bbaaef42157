/* Linked into a test program of SQLite: loads the extension that PLIMSOLL_TEST_LIBRARY names, before main. With
   PLIMSOLL_TEST_BY_DEFAULT a name without a VFS is then a volume, too. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void load_plimsoll(void) {
  const char *library = getenv("PLIMSOLL_TEST_LIBRARY");
  char *message = NULL;
  sqlite3 *db = NULL;
  if (library == NULL) return;
  if (sqlite3_open(":memory:", &db) != SQLITE_OK || sqlite3_enable_load_extension(db, 1) != SQLITE_OK ||
      sqlite3_load_extension(db, library, NULL, &message) != SQLITE_OK) {
    fprintf(stderr, "loading %s: %s\n", library, message != NULL ? message : sqlite3_errmsg(db));
    exit(1);
  }
  sqlite3_close(db);
  if (getenv("PLIMSOLL_TEST_BY_DEFAULT") != NULL) sqlite3_vfs_register(sqlite3_vfs_find("plimsoll"), 1);
}
