import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { Command, CommanderError } from "commander";
import { type ErrorCode, GolgiError } from "../index.ts";
import { addChatCommand } from "./chat-command.ts";
import { addConvertCommand } from "./convert-command.ts";
import { addDiffCommand } from "./diff-command.ts";
import { addExplainCommand } from "./explain-command.ts";
import { addInfoCommand } from "./info-command.ts";
import { addLookCommand } from "./look-command.ts";
import { addModelsCommand } from "./models-command.ts";
import { packageRoot } from "./options.ts";
import { addPatchCommand } from "./patch-command.ts";
import { addPullCommand } from "./pull-command.ts";
import { addRouterCommand } from "./router-command.ts";
import { addRunCommand } from "./run-command.ts";
import { addTraceCommand } from "./trace-command.ts";

/** Exit codes: what a shell script can tell apart. */
const FAILED = 1;
const USAGE = 2;
const INTERRUPTED = 130;

const EXAMPLES = `
Examples:
  golgi trace "Once upon a time"          how each layer came to the next token
  golgi trace --html page.html            the same for every token, as a page
  golgi run "Once upon a time" -n 100     continue a text
  golgi run "Hi" --edit "L2.N107 = 0"     the same with a neuron switched off
  golgi look L2.N107 --on "a big dog"     what a neuron does
  golgi router ./my-moe --on "a big dog"  which experts each token goes to
  golgi chat -m ./my-model                talk with a model
  golgi info ./my-model                   sizes and cost; a config.json will do
  golgi run "Hi" -m org/name:Q4_K_M       a model of the Hub, downloaded once
`;

/** What an error's own remedy, which speaks to programs, is on the command line. */
const REMEDIES: Partial<Record<ErrorCode, string>> = {
  "config.key": "On the command line that is --ignore <name>, once for each.",
  "checkpoint.chatTemplate": "On the command line that is --template <file>.",
  "checkpoint.unused": "On the command line that is --ignore <name>, once for each.",
};

/** Runs the command line and gives the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
export async function main(args: readonly string[]): Promise<number> {
  const interrupt = new AbortController();
  const onInterrupt = (): void => interrupt.abort(new Interrupted());
  process.once("SIGINT", onInterrupt);
  const program = commandLine(interrupt.signal);
  try {
    await program.parseAsync(args as string[], { from: "user" });
    return 0;
  } catch (error) {
    return report(
      error,
      [program, ...program.commands].some((command) => command.opts().debug),
    );
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

class Interrupted extends Error {}

function commandLine(signal: AbortSignal): Command {
  const program = new Command("golgi")
    .description("Run language models, and see every neuron, head and layer while they run.")
    .version(version(), "-v, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText("after", EXAMPLES)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "golgi: ")) })
    .showHelpAfterError("(golgi --help shows what there is)")
    .exitOverride();
  addRunCommand(program, signal);
  addChatCommand(program, signal);
  addTraceCommand(program, signal);
  addLookCommand(program, signal);
  addExplainCommand(program, signal);
  addRouterCommand(program, signal);
  addPatchCommand(program, signal);
  addDiffCommand(program, signal);
  addInfoCommand(program, signal);
  addConvertCommand(program, signal);
  addPullCommand(program, signal);
  addModelsCommand(program);
  for (const command of program.commands) {
    command.showHelpAfterError(`(golgi ${command.name()} --help shows what it takes)`);
  }
  for (const command of [program, ...program.commands]) command.option("--debug", "show where an error was raised");
  return program;
}

function version(): string {
  return JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")).version;
}

/** Prints an error for people, and gives the exit code. */
function report(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  if (error instanceof Interrupted) {
    process.stderr.write("golgi: interrupted\n");
    return INTERRUPTED;
  }
  if (error instanceof GolgiError) {
    const remedy = REMEDIES[error.code];
    process.stderr.write(`golgi: ${error.message}${remedy === undefined ? "" : ` ${remedy}`}\n`);
    if (debug) process.stderr.write(`${inspect(error)}\n`);
    return error.code === "request.option" ? USAGE : FAILED;
  }
  process.stderr.write(`${inspect(error)}\nThis is a defect in golgi: please report it with the lines above.\n`);
  return FAILED;
}
