"""The table of docs/STORE.md: which test shows which rule of which operation.

It is made from the tests themselves: `python tests/python/store/table.py` writes
it, and test_table.py fails when it is not what the tests say.
"""

import ast
import pathlib

HERE = pathlib.Path(__file__).parent
DOCUMENT = HERE.parents[2] / "docs/STORE.md"
BEGIN, END = "<!-- conformance: begin -->\n", "<!-- conformance: end -->\n"


def marks(function, module):
    """Names of marks, with the reason where there is one."""
    found = {}
    sources = list(function.decorator_list)
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "pytestmark":
                sources.append(node.value)
    for node in sources:
        call = node if isinstance(node, ast.Call) else None
        attribute = call.func if call else node
        if isinstance(attribute, ast.Attribute):
            reason = call.args[0].value if call and call.args and isinstance(call.args[0], ast.Constant) else ""
            found[attribute.attr] = reason
    return found


def rows():
    for path in sorted(HERE.glob("test_*.py")):
        module = ast.parse(path.read_text())
        for node in module.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            text = ast.get_docstring(node)
            if path.name == "test_table.py":
                continue
            assert text and ": " in text, f"{node.name} does not say which rule it shows"
            operation, rule = " ".join(text.split()).split(": ", 1)
            found = marks(node, module)
            moto = "yes"
            if "pgvalet" in found:
                moto = "–"
            elif "moto" in found:
                moto = f"no: {found['moto']}"
            yield operation, rule, f"{path.stem}::{node.name}", moto


def table():
    lines = ["| operation | rule | test | moto |\n", "|---|---|---|---|\n"]
    for operation, rule, test, moto in sorted(rows(), key=lambda row: (row[0], row[2])):
        rule = rule.replace("|", "\\|")
        lines.append(f"| {operation} | {rule} | `{test}` | {moto} |\n")
    return "".join(lines)


def split():
    """The document before the table, the table, and what comes after it."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    inside, after = rest.split(END)
    return before + BEGIN, inside, END + after


if __name__ == "__main__":
    before, _, after = split()
    DOCUMENT.write_text(before + table() + after)
