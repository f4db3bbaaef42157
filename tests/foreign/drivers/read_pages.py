"""Every page of a database, as the VFS beneath gives it."""

import hashlib


def masked(data):
    """Page 1 without what each VFS shows in its own way: journal mode, counter of changes, version."""
    return data[:18] + bytes(2) + data[20:24] + bytes(4) + data[28:92] + bytes(8) + data[100:]


def digests(connection):
    """One digest per page, in one transaction."""
    connection.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
    (size,), (count,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "page_count"))
    pages = []
    for number in range(count):
        complete, data = connection.read("main", 0, number * size, size)
        if not complete:
            raise RuntimeError(f"page {number + 1} of {count} is not there")
        pages.append(hashlib.sha256(masked(data) if number == 0 else data).hexdigest())
    connection.execute("COMMIT")
    return pages


def digests_of_file(path, size):
    """The same of a plain file."""
    with open(path, "rb") as file:
        whole = file.read()
    pages = [whole[at : at + size] for at in range(0, len(whole), size)]
    return [hashlib.sha256(data if number else masked(data)).hexdigest() for number, data in enumerate(pages)]
