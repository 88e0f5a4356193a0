// The method: each subject proves that it is correct. Then the subjects of a scenario take turns
// round by round, each alone with the load. The CPU time of a subject's processes is read at both
// ends of each round.

import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificatePair } from "./certificate.ts";
import { Generator } from "./load/controller.ts";
import type { CpuPlan } from "./measure/cpus.ts";
import type { Announcement } from "./process/child.ts";
import { launchNode } from "./process/launch.ts";
import type { BackendKind } from "./scenarios.ts";
import type { RunningSubject, Subject } from "./subjects/subject.ts";
import { independentTransport } from "./transport.ts";
import { type Verdict, verify } from "./verify/verify.ts";

/** Everything that the rounds need and that lives as long as the run. */
export class Harness {
  readonly cpus: CpuPlan;
  readonly directory: string;
  readonly certificate: CertificatePair | undefined;
  readonly generator: Generator;
  /** Promises, because subjects that start together all ask for the backend. */
  readonly #backends = new Map<BackendKind, ReturnType<typeof launchNode>>();
  #startedCount = 0;

  private constructor(
    cpus: CpuPlan,
    directory: string,
    certificate: CertificatePair | undefined,
    generator: Generator,
  ) {
    this.cpus = cpus;
    this.directory = directory;
    this.certificate = certificate;
    this.generator = generator;
  }

  static async start(
    cpus: CpuPlan,
    directory: string,
    certificate: CertificatePair | undefined,
  ): Promise<Harness> {
    const generator = await Generator.start({ cpus: cpus.load });
    return new Harness(cpus, directory, certificate, generator);
  }

  /** The backend of that kind, started when it is first asked for. */
  async backend(kind: BackendKind): Promise<Announcement> {
    let starting = this.#backends.get(kind);
    if (starting === undefined) {
      const args = ["--kind", kind];
      if (this.certificate !== undefined) {
        args.push("--cert", this.certificate.certPath, "--key", this.certificate.keyPath);
      }
      starting = launchNode("backends/main", args, { cpus: this.cpus.backend });
      this.#backends.set(kind, starting);
    }
    const { process, where } = await starting;
    if (process.death !== undefined) throw new Error(process.death);
    return where;
  }

  /** @throws with the subject's own message when it does not start */
  async startSubject(subject: Subject, kind: BackendKind): Promise<RunningSubject> {
    const { port, tlsPort = 0, ports = [port] } = await this.backend(kind);
    const directory = join(this.directory, `${subject.id}-${++this.#startedCount}`);
    mkdirSync(directory);
    return await subject.start({
      backendPort: port,
      backendTlsPort: tlsPort,
      backendPorts: ports,
      certificate: this.certificate ?? { certPath: "", keyPath: "" },
      directory,
      cpus: this.cpus.subject,
    });
  }

  /**
   * Starts the subject for the checks alone. A subject that does not even start has failed them.
   */
  async verify(subject: Subject, limitMs: number): Promise<Verdict> {
    let running: RunningSubject | undefined;
    try {
      const backend = await this.backend("lean");
      running = await this.startSubject(subject, "lean");
      const certificate = subject.tls ? this.#certificateText() : undefined;
      const verdict = await verify(independentTransport(), {
        subject: { port: running.port, certificate },
        backend: { port: backend.port },
        limitMs,
      });
      const death = running.process?.death;
      return death === undefined ? verdict : { ...verdict, failures: [...verdict.failures, death] };
    } catch (error) {
      return { failures: [messageOf(error)], defects: [] };
    } finally {
      await running?.process?.stop();
    }
  }

  #certificateText(): string | undefined {
    return this.certificate === undefined
      ? undefined
      : readFileSync(this.certificate.certPath, "utf8");
  }

  async stop(): Promise<void> {
    await this.generator.stop();
    for (const starting of this.#backends.values()) {
      // A process that never started has nothing to stop. Its caller got the error.
      await starting.then(
        ({ process }) => process.stop(),
        () => {},
      );
    }
    this.#backends.clear();
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
