"""Connects by a libpq of version 18 or newer, once for each connection string, and
says in a line of JSON whose connection it is, or why there is none.

libpq comes as a file, because its hook for tokens is in no driver yet. It hands
over PGVALET_TEST_TOKEN, where that is set, and notes what it was asked."""

import ctypes
import json
import os
import sys

OK = 0  # CONNECTION_OK
BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN


class BearerRequest(ctypes.Structure):
    """PGoauthBearerRequest."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("ask_later", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


HOOK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(BearerRequest))

token = os.environ.get("PGVALET_TEST_TOKEN", "").encode()
asked = []


@HOOK
def hand_over(kind, _connection, request):
    if kind != BEARER_TOKEN or not token:
        return 0
    asked.append(request.contents.openid_configuration.decode())
    request.contents.token = token
    return 1


libpq = ctypes.CDLL(sys.argv[1])
for name, result, arguments in (
    ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]),
    ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
    ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]),
    ("PQfinish", None, [ctypes.c_void_p]),
    ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]),
    ("PQsetAuthDataHook", None, [HOOK]),
    ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
):
    function = getattr(libpq, name)
    function.restype, function.argtypes = result, arguments

assert libpq.PQlibVersion() >= 180000, libpq.PQlibVersion()
libpq.PQsetAuthDataHook(hand_over)
for dsn in sys.argv[2:]:
    asked.clear()
    connection = libpq.PQconnectdb(dsn.encode())
    if libpq.PQstatus(connection) == OK:
        answer = libpq.PQexec(connection, b"SELECT current_user")
        said = {"user": libpq.PQgetvalue(answer, 0, 0).decode()}
    else:
        said = {"refused": libpq.PQerrorMessage(connection).decode()}
    libpq.PQfinish(connection)
    print(json.dumps(said | {"asked": asked}))
