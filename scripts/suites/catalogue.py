"""Which suites there are: where each comes from, and how it is run."""

from dataclasses import dataclass, field


@dataclass
class Suite:
    name: str
    # The source distribution that holds the tests, pinned in sources.txt.
    source: str
    # What to pytest, relative to the source.
    tests: list[str]
    # The whole of one run may take so long; a test, `each`.
    seconds: int
    each: int = 30
    # Fewer that pass directly say that something else is wrong.
    least: int = 100
    options: list[str] = field(default_factory=list)
    # Formatted with {port}, {user} and {password}.
    more_options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    # SQL for the fresh database, run as its owner.
    prepare: list[str] = field(default_factory=list)
    database: str = "test"
    # Others, which the suite makes itself.
    more_databases: list[str] = field(default_factory=list)
    # Folders of the source that stand in the way of the installed package.
    hide: list[str] = field(default_factory=list)
    # Parts of a test's name that differ between servers.
    strip: str = ""
    # What is tested: pgvalet in front of Postgres, beside Postgres alone; or the
    # embedded store, beside what the suite is written for.
    subject: str = "proxy"
    # Where the result is written down.
    document: str = "docs/COMPATIBILITY.md"

    @property
    def modes(self) -> tuple[str, ...]:
        return ("transaction", "session") if self.subject == "proxy" else ("store",)

    def called(self, part: str) -> bool:
        """Whether somebody who writes this means it: all of a name, or a part of
        one that is no whole name."""
        whole = part.lower() in ("asyncpg", "psycopg2", "pg8000")
        return self.name.lower() == part.lower() if whole else part.lower() in self.name.lower()


# What the tests of SQLAlchemy want of a database (README.unittests.rst).
SQLALCHEMY = [
    "create schema test_schema", "create schema test_schema_2",
    "create extension hstore", "create extension citext",
    "alter database test set default_text_search_config = 'pg_catalog.english'",
]


# Left out of SQLAlchemy's: 1,228 tests each of what the operators of ranges do, two
# thirds of all there are; the reflection of many tables, in 600 combinations; what
# another test does as well (PGArrayRoundTripTest, JSONTest); and what asks no server.
LEFT_OUT = [
    *(f"{kind}RangeRoundTripTest" for kind in ("Int4", "Int8", "Num", "Date", "DateTime", "DateTimeTZ")),
    "(ComponentReflectionTest and get_multi)", "CoreArrayRoundTripTest", "JSONBSuiteTest",
    "CompilationTest", "CompileTest",
]


def sqlalchemy(driver: str) -> Suite:
    return Suite(
        name=f"SQLAlchemy over {driver}",
        source="sqlalchemy",
        tests=["test/dialect/test_suite.py", "test/dialect/postgresql"],
        # Its own setting stops at the 250th failure. The logging plugin takes
        # time that nobody looks at.
        options=["--maxfail=100000", "-q", "-p", "no:logging",
                 "-k", " and ".join(f"not {name}" for name in LEFT_OUT)],
        more_options=["--dburi", f"postgresql+{driver}://{{user}}:{{password}}@127.0.0.1:{{port}}/test"],
        seconds=400,
        prepare=SQLALCHEMY,
        strip=r"_postgresql\+\w+_\d+_\d+",
        least=2000,
    )


def suites() -> list[Suite]:
    return [
        sqlalchemy("psycopg"),
        sqlalchemy("asyncpg"),
        Suite(
            name="asyncpg", source="asyncpg", tests=["tests"], seconds=300, least=250,
            # What it connects to where it names none, and elsewhere by this name.
            database="postgres",
            environment={"PGDATABASE": "postgres"},
            more_databases=["testdb", "asyncpg_intro_test"],
            options=["--ignore=tests/test__sourcecode.py", "--deselect=tests/test_connect.py::TestConnectionAttributes"],
            hide=["asyncpg"],
        ),
        Suite(
            name="psycopg2", source="psycopg2_binary", tests=["tests"], seconds=200,
            environment={"PSYCOPG2_TESTDB": "test"},
            prepare=["create extension hstore"],
        ),
        Suite(
            name="pg8000", source="pg8000", tests=["test/native", "test/dbapi", "test/legacy"], seconds=300, each=60,
            least=500,
            options=["--ignore-glob=*/auth/*", "--ignore-glob=*benchmarks*"],
            # It names none, and so means the one that is called like the user.
            database="postgres",
            prepare=["create extension hstore"],
            hide=["src"],
        ),
        Suite(
            # Those of its HTTP server are left out: they ask moto's own, and repeat the others.
            name="moto", source="moto", seconds=300, subject="store", document="docs/STORE.md",
            tests=[f"tests/test_secretsmanager/test_{part}.py"
                   for part in ("secretsmanager", "list_secrets", "policy", "secrets_duplication")],
            hide=["moto"],
        ),
    ]
