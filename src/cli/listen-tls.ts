// The TLS of the listening sockets: what was read last from the files, and in a worker the ticket
// keys of all workers.

import type { ServerListener, ServerTlsOptions } from "../index.ts";
import { withTicketKeys } from "./ticket-keys.ts";

export class ListenTls {
  #material: ServerTlsOptions;
  #ticketSecret: string | undefined;
  readonly #listeners: ServerListener[] = [];

  /** @param ticketSecret left out in a process alone, which has keys of its own */
  constructor(material: ServerTlsOptions, ticketSecret: string | undefined) {
    this.#material = material;
    this.#ticketSecret = ticketSecret;
  }

  get options(): ServerTlsOptions {
    return optionsOf(this.#material, this.#ticketSecret);
  }

  add(listener: ServerListener): void {
    this.#listeners.push(listener);
  }

  /** @throws {TypeError} for what cannot be used; the former stays in use */
  readonly replaceMaterial = (material: ServerTlsOptions): void => {
    this.#replace(material, this.#ticketSecret);
    this.#material = material;
  };

  readonly replaceTicketSecret = (secret: string): void => {
    this.#replace(this.#material, secret);
    this.#ticketSecret = secret;
  };

  #replace(material: ServerTlsOptions, secret: string | undefined): void {
    const options = optionsOf(material, secret);
    for (const listener of this.#listeners) listener.setTls(options);
  }
}

function optionsOf(material: ServerTlsOptions, secret: string | undefined): ServerTlsOptions {
  return secret === undefined ? material : withTicketKeys(secret, material);
}
