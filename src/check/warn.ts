// Warnings of the process about defects of the program that uses this library: each kind once,
// however often it happens. A leaf.

/** The role of the program's code, and the code of the warning about it. */
const WarningCode = {
  handler: "GRPC_RELAY_HANDLER",
  director: "GRPC_RELAY_DIRECTOR",
  onError: "GRPC_RELAY_ON_ERROR",
  finalizer: "GRPC_RELAY_FINALIZER",
  codec: "GRPC_RELAY_CODEC",
  callback: "GRPC_RELAY_CALLBACK",
} as const;

export type CalledAs = keyof typeof WarningCode;

/**
 * A program has fewer places that throw. The text of a message makes no kind of its own, because
 * clients may influence it.
 */
const MAX_KINDS = 256;
const kinds = new Set<string>();

/**
 * Warns that `thrown` came from the program's code, with cause and stack: `process.on("warning")`
 * gets it as `cause`. A kind is the role of the code, `callback`, the class of the thrown value,
 * and the line that threw it. So two callbacks that fail in one helper are two kinds.
 * @param callback a name for the code that was called, the same for each of its calls
 */
export function warnOnce(
  calledAs: CalledAs,
  callback: string,
  text: string,
  thrown: unknown,
): void {
  const kind = `${calledAs} ${callback} ${kindOf(thrown)}`;
  if (isNew(kind)) emit(calledAs, text, traceOf(thrown), thrown);
}

/** Warns of a defect of the program without a thrown error, once for each text and detail. */
export function warn(calledAs: CalledAs, text: string, detail: string): void {
  if (isNew(`${calledAs} ${text} ${detail}`)) emit(calledAs, text, detail, undefined);
}

function isNew(kind: string): boolean {
  if (kinds.has(kind) || kinds.size >= MAX_KINDS) return false;
  kinds.add(kind);
  return true;
}

function emit(calledAs: CalledAs, text: string, detail: string, cause: unknown): void {
  const warning = new Error(text, cause === undefined ? undefined : { cause });
  warning.name = "GrpcRelayWarning";
  process.emitWarning(Object.assign(warning, { code: WarningCode[calledAs], detail }));
}

function kindOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return typeof thrown;
  const { name, message } = thrown;
  // The frame behind the message; the message may have lines that look like frames.
  const stack = String(thrown.stack).replace(String(message), "");
  return `${name}${/\n +at .*/.exec(stack)?.[0] ?? ""}`;
}

/** More causes than this are a circle. */
const MAX_CAUSES = 8;

function traceOf(thrown: unknown): string {
  const texts: string[] = [];
  for (let each = thrown; texts.length <= MAX_CAUSES; each = each.cause) {
    if (!(each instanceof Error)) {
      if (texts.length === 0) texts.push(typeof each === "string" ? each : `${typeof each} thrown`);
      break;
    }
    texts.push(String(each.stack));
  }
  return texts.join("\n  caused by ");
}
