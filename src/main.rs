use std::process::ExitCode;

fn main() -> ExitCode {
    pgvalet::cli::main()
}
