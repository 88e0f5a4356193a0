// From the command line to an exit code: runs the command, shows help and version, and reports
// failures.

import { CommandError, EXIT_FAILURE, EXIT_OK, messageOf, usageError } from "./command-error.ts";
import { demo, demoFlags } from "./demo.ts";
import { describeFlags, type Flag, type GivenFlags, parseFlags } from "./flags.ts";
import { serve, serveFlags } from "./serve.ts";
import type { Terminal } from "./terminal.ts";
import { packageVersion } from "./version.ts";

interface Command {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly flags: readonly Flag[];
  readonly notes: string;
  /** Resolves to the exit code when the command is done. */
  readonly run: (flags: GivenFlags, terminal: Terminal, args: readonly string[]) => Promise<number>;
}

const COMMANDS: readonly Command[] = [
  {
    name: "serve",
    summary: "pass gRPC calls on to backends",
    usage: "grpc-relay serve --listen ADDRESS --backend TARGET [--route PATH=TARGET ...] [FLAGS]",
    flags: serveFlags,
    notes: `ADDRESS is HOST:PORT, [IPV6]:PORT or unix:PATH; port 0 to listen lets the system choose. To listen
it may also be a socket that the process was started with: fd:N is its descriptor, systemd:NAME its
name in LISTEN_FDNAMES.
TARGET is HOST:PORT, [IPV6]:PORT or unix:PATH, or dns:///HOST:PORT for all addresses of a name, or
ipv4: or ipv6: and addresses behind commas. Calls are answered with UNAVAILABLE while their backend
cannot be reached, and with UNIMPLEMENTED where no route leads.
SIGINT or SIGTERM closes after the calls that are under way, a second one at once. SIGHUP reads
certificates again, which also happens when their files change. SIGUSR2 replaces workers.`,
    run: serve,
  },
  {
    name: "demo",
    summary: "start two backends and a proxy, make calls through it, show what happened",
    usage: "grpc-relay demo [--once] [--listen ADDRESS]",
    flags: demoFlags,
    notes: "Without --once the proxy goes on serving until SIGINT or SIGTERM.",
    run: demo,
  },
];

const HELP_FLAG: Flag = { name: "help", text: "this text" };

/**
 * Runs the command that `args` name. Resolves to the exit code: 0, 2 for a wrong command line, 1
 * for any other failure.
 */
export async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(args, terminal);
  } catch (error) {
    terminal.warn(`grpc-relay: ${messageOf(error)}`);
    return error instanceof CommandError ? error.exitCode : EXIT_FAILURE;
  }
}

function dispatch(args: readonly string[], terminal: Terminal): Promise<number> {
  const [first, ...rest] = args;
  switch (first) {
    case "--help":
    case "-h":
      return show(terminal, generalHelp());
    case "help":
      return show(
        terminal,
        rest[0] === undefined ? generalHelp() : commandHelp(findCommand(rest[0])),
      );
    case "--version":
    case "-v":
      return show(terminal, packageVersion());
  }
  const command = findCommand(first);
  const commandArgs = rest.map((arg) => (arg === "-h" ? "--help" : arg));
  if (commandArgs.includes("--help")) return show(terminal, commandHelp(command));
  return command.run(parseFlags(commandArgs, [...command.flags, HELP_FLAG]), terminal, args);
}

function findCommand(name: string | undefined): Command {
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command !== undefined) return command;
  const names = COMMANDS.map((candidate) => candidate.name).join(" or ");
  const got = name === undefined ? "none" : JSON.stringify(name);
  throw usageError(`expected a command, ${names}, got ${got} (see grpc-relay --help)`);
}

function show(terminal: Terminal, text: string): Promise<number> {
  terminal.print(text);
  return Promise.resolve(EXIT_OK);
}

function generalHelp(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const commands = COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: grpc-relay COMMAND [FLAGS]

A gRPC reverse proxy.

Commands:
${commands.join("\n")}

  grpc-relay COMMAND --help  the flags of a command
  grpc-relay --version       the version`;
}

function commandHelp({ usage, summary, flags, notes }: Command): string {
  return `Usage: ${usage}

${summary.charAt(0).toUpperCase()}${summary.slice(1)}.

${describeFlags([...flags, HELP_FLAG])}

${notes}`;
}
