// A local Firebase in a process of its own, for tests of any SDK: none is imported here.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const OWNER = { Authorization: 'Bearer owner' }
const PATIENCE_MS = 20_000

/** Rules that let everybody do everything. */
export const OPEN = {
  '.read': true,
  '.write': true,
  scores: { '.indexOn': ['points', 'name/last', '.value'] },
}

/** A local Firebase in a process of its own. */
export class Firebase {
  #process

  constructor(process, endpoints) {
    this.#process = process
    this.host = endpoints.database_host
    this.storage = endpoints.storage_url
    this.namespace = endpoints.namespace
  }

  static async start(...options) {
    const command = ['-m', 'narrator_daemon', 'emulator', '--database-port=0', '--storage-port=0']
    const process = spawn(`${ROOT}/.venv/bin/python`, [...command, ...options], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = await once(createInterface(process.stdout), 'line')
    return new this(process, JSON.parse(line))
  }

  async stop() {
    this.#process.kill('SIGTERM')
    const [status] = await once(this.#process, 'exit')
    assert.equal(status, 0)
  }

  /** Empty, without faults, and with these rules. */
  async reset(rules = OPEN) {
    await this.control('DELETE', 'faults')
    await this.rest('PUT', '/', null)
    await this.rules(rules)
  }

  async rules(rules) {
    await this.rest('PUT', '/.settings/rules', { rules })
  }

  /** A request of the REST API by the owner; gives the parsed answer. */
  async rest(method, path, body, headers = {}) {
    const response = await this.request(method, path, body, headers)
    assert.ok(response.ok, `${method} ${path}: ${response.status}`)
    return response.json()
  }

  async request(method, path, body, headers = {}) {
    return fetch(`http://${this.host}${path}.json?ns=${this.namespace}`, {
      method,
      headers: { ...OWNER, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
  }

  /** A request to the local Firebase itself: faults and traffic. */
  async control(method, what, body) {
    const options = { method, headers: OWNER, body: body && JSON.stringify(body) }
    return (await fetch(`http://${this.host}/.emulator/${what}`, options)).json()
  }

  /** Cut every WebSocket, as a network does that goes away. */
  async cut() {
    return (await this.control('POST', 'faults', { kind: 'end_streams' })).streams
  }

  /** Bytes that the server has sent over WebSockets. */
  async sent() {
    const rows = await this.control('GET', 'traffic')
    return rows.filter((row) => row.kind === 'websocket').reduce((sum, row) => sum + row.bytes_sent, 0)
  }
}

/** Wait until a condition holds; fails with `what` after a while. */
export async function until(condition, what) {
  const deadline = Date.now() + PATIENCE_MS
  for (;;) {
    if (await condition()) return
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`)
    await sleep(10)
  }
}

/** Wait until what `read` gives equals `wanted`; fails with the difference after a while. */
export async function becomes(read, wanted) {
  const same = async () => isDeepStrictEqual(await read(), wanted)
  await until(same, 'for a value').catch(async () => assert.deepEqual(await read(), wanted))
}
