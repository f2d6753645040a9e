// Files that were signed here, read back by c2pa's own JavaScript library, and their labels by the
// detector page: both must say what this project's readers in Python say. The page is built before:
// `make page`.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, openAsBlob, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const built = new URL('../../narrator_daemon/emulator/page/', import.meta.url)
const { default: init, WasmReader } = await import(new URL('vendor/c2pa.js', built))
const { readLabel } = await import(new URL('detector/label.js', built))
const { credentialsIn, judge } = await import(new URL('detector/verdict.js', built))
await init({ module_or_path: readFileSync(new URL('vendor/c2pa_bg.wasm', built)) })

const folder = mkdtempSync(join(tmpdir(), 'signed-'))
after(() => rmSync(folder, { recursive: true }))
const make = ['-m', 'tests.credentials.signed_files', folder]
const said = JSON.parse(execFileSync(`${ROOT}/.venv/bin/python`, make, { cwd: ROOT }))
const root = readFileSync(join(folder, 'root.pem'), 'utf8')
const TYPES = { wav: 'audio/wav', m4a: 'audio/mp4', mp3: 'audio/mpeg', flac: 'audio/flac' }

async function credentialsOf(name, trust = {}) {
  const settings = {
    trust,
    verify: { verify_trust: true, remote_manifest_fetch: false, ocsp_fetch: false },
  }
  const content = readFileSync(join(folder, name))
  const type = TYPES[name.split('.').at(-1)]
  try {
    const reader = await WasmReader.fromBytes(type, content, JSON.stringify(settings))
    return credentialsIn(JSON.parse(reader.json()))
  } catch {
    return null
  }
}

test('there are files of every kind', () => {
  assert.equal(Object.keys(said).length, 15)
})

for (const [name, expected] of Object.entries(said)) {
  test(`${name}: both readers say the same`, async () => {
    const found = await credentialsOf(name)
    if (expected.credentials === null) {
      assert.equal(found, null)
    } else {
      const { valid, trusted, otherContent, problems, signer, madeAt, ours, narration } =
        expected.credentials
      const told = { valid, trusted, otherContent, problems, signer, madeAt, ours, facts: narration }
      const { signedAt, digitalSource, ...rest } = found
      assert.deepEqual({ ...rest, problems: [...rest.problems].sort() }, { ...told, problems: [...problems].sort() })
      assert.equal(digitalSource, expected.credentials.digitalSourceType)
    }
    assert.deepEqual(await readLabel(await openAsBlob(join(folder, name))), expected.label)
  })
}

for (const form of ['wav', 'm4a', 'mp3']) {
  test(`${form}: signed is trusted by whom its root is given`, async () => {
    const found = await credentialsOf(`signed.${form}`, { user_anchors: root })
    assert.deepEqual([found.valid, found.trusted], [true, true])
  })
}

test('what the layers say together', async () => {
  const verdict = async (name, found, label) => {
    const layers = { credentials: await credentialsOf(name), label: label ?? said[name].label, found }
    return judge(layers).verdict
  }
  assert.equal(await verdict('signed.wav', true), 'agree')
  assert.equal(await verdict('signed.wav', undefined), 'agree')
  assert.equal(await verdict('changed.m4a', true), 'altered')
  assert.equal(await verdict('renamed.mp3', true), 'altered')
  assert.equal(await verdict('stripped.wav', true), 'stripped')
  assert.equal(await verdict('stripped.wav', false, { Label: '1' }), 'stripped')
  assert.equal(await verdict('stripped.wav', false), 'nothing')
  assert.equal(await verdict('signed.wav', true, { Label: '1', ProduceID: 'another' }), 'contradict')
  const credentials = { ...(await credentialsOf('signed.wav')), digitalSource: 'x/digitalCapture' }
  assert.equal(judge({ credentials, label: null, found: true }).verdict, 'contradict')
  assert.equal(judge({ credentials, label: null, found: false }).verdict, 'agree')
  assert.equal(judge({ credentials: undefined, label: null, found: true }).verdict, 'nothing')
})

test('damaged metadata says nothing', async () => {
  for (const name of ['signed.wav', 'signed.m4a', 'signed.mp3']) {
    const whole = readFileSync(join(folder, name))
    const start = Math.max(whole.indexOf('AIGC'), 0)
    for (let n = 0; n < 200; n += 1) {
      const copy = Buffer.from(whole)
      const at = Math.max(start - 150 + ((n * 37) % 300), 0)
      copy.fill((n * 91) % 256, at, at + 1 + (n % 9))
      const label = await readLabel(new Blob([copy.subarray(0, n % 2 ? at + 20 : undefined)]))
      assert.ok(label === null || typeof label === 'object')
    }
  }
})
