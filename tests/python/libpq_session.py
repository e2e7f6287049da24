"""A session by a libpq of version 18 or newer: does what it is told on standard
input, a line of JSON each, and answers each with a line of JSON."""

import ctypes
import json
import sys

COMMAND_OK, TUPLES_OK = 1, 2

libpq = ctypes.CDLL(sys.argv[1])
text, handle, number = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
for name, result, arguments in (
    ("PQcancelBlocking", number, [handle]),
    ("PQcancelCreate", handle, [handle]),
    ("PQcancelErrorMessage", text, [handle]),
    ("PQcancelFinish", None, [handle]),
    ("PQclear", None, [handle]),
    ("PQconnectdb", handle, [text]),
    ("PQerrorMessage", text, [handle]),
    ("PQfinish", None, [handle]),
    ("PQfullProtocolVersion", number, [handle]),
    ("PQgetResult", handle, [handle]),
    ("PQgetvalue", text, [handle, number, number]),
    ("PQresultErrorField", text, [handle, number]),
    ("PQresultStatus", number, [handle]),
    ("PQsendQuery", number, [handle, text]),
    ("PQstatus", number, [handle]),
):
    function = getattr(libpq, name)
    function.restype, function.argtypes = result, arguments

connection = libpq.PQconnectdb(sys.argv[2].encode())
assert libpq.PQstatus(connection) == 0, libpq.PQerrorMessage(connection).decode()


def send(sql):
    """Sends a query and does not wait for its end."""
    return libpq.PQsendQuery(connection, sql.encode())


def result():
    """The value of the last row, or the SQLSTATE; to the end of the query."""
    said = None
    while found := libpq.PQgetResult(connection):
        status = libpq.PQresultStatus(found)
        if status == TUPLES_OK:
            said = libpq.PQgetvalue(found, 0, 0).decode()
        elif status != COMMAND_OK:
            said = libpq.PQresultErrorField(found, ord("C")).decode()
        libpq.PQclear(found)
    return said


def cancel():
    """Asks for a cancel, and waits until the request was taken."""
    request = libpq.PQcancelCreate(connection)
    sent = libpq.PQcancelBlocking(request)
    complaint = libpq.PQcancelErrorMessage(request).decode()
    libpq.PQcancelFinish(request)
    return complaint if not sent else None


def version():
    return libpq.PQfullProtocolVersion(connection)


for line in sys.stdin:
    what, *how = json.loads(line)
    print(json.dumps(globals()[what](*how)), flush=True)
libpq.PQfinish(connection)
