/**
 * The label `AIGC` (GB 45438-2025) in a file's own metadata, as `narrator_daemon/credentials/labels.py`
 * reads it: WAV `LIST INFO`, MP3 `TXXX`, M4A `----` or `keys`, FLAC a Vorbis comment. Files come from
 * strangers: nothing is believed of the sizes that they tell, and no more than the metadata is read.
 */

export type Label = Readonly<Record<string, unknown>>;

const FIELD = "AIGC";
const MOST_METADATA = 64 << 20;
const MOST_LABEL = 1 << 16;
const MOST_CHUNKS = 10_000;

/** The label in a file; null where there is none. What is no JSON object comes as `unreadable`. */
export async function readLabel(file: Blob): Promise<Label | null> {
  let found: Uint8Array | null = null;
  try {
    found = await find(file);
  } catch (error) {
    // Damaged metadata says nothing.
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  }
  if (!found || found.length > MOST_LABEL) return null;
  const text = new TextDecoder().decode(found).replace(/^[\0\s]+|[\0\s]+$/g, "");
  try {
    const fields: unknown = JSON.parse(text);
    if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) return fields as Label;
  } catch {
    // Told as it is.
  }
  return { unreadable: text.slice(0, 200) };
}

async function find(file: Blob): Promise<Uint8Array | null> {
  const head = await bytes(file, 0, 12);
  const form = latin(head);
  if (/^(RIFF|RF64).{4}WAVE/s.test(form)) return inWav(file);
  if (form.startsWith("ID3")) return inId3(file);
  if (form.slice(4, 8) === "ftyp") return inMp4(file);
  if (form.startsWith("fLaC")) return inFlac(file);
  return null;
}

async function bytes(file: Blob, start: number, length: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(start, start + length).arrayBuffer());
}

function view(content: Uint8Array): DataView {
  return new DataView(content.buffer, content.byteOffset, content.byteLength);
}

function latin(content: Uint8Array): string {
  return String.fromCharCode(...content);
}

async function inWav(file: Blob): Promise<Uint8Array | null> {
  let place = 12;
  for (let n = 0; n < MOST_CHUNKS && place < file.size; n += 1) {
    const head = await bytes(file, place, 8);
    if (head.length < 8) return null;
    const size = view(head).getUint32(4, true);
    if (latin(head.subarray(0, 4)) === "LIST" && size <= MOST_METADATA) {
      const found = inInfo(await bytes(file, place + 8, size));
      if (found) return found;
    }
    place += 8 + size + (size % 2);
  }
  return null;
}

function inInfo(info: Uint8Array): Uint8Array | null {
  if (latin(info.subarray(0, 4)) !== "INFO") return null;
  for (let place = 4; place + 8 <= info.length; ) {
    const size = view(info).getUint32(place + 4, true);
    if (latin(info.subarray(place, place + 4)) === FIELD) return info.subarray(place + 8, place + 8 + size);
    place += 8 + size + (size % 2);
  }
  return null;
}

async function inFlac(file: Blob): Promise<Uint8Array | null> {
  let place = 4;
  for (let n = 0; n < MOST_CHUNKS; n += 1) {
    const head = await bytes(file, place, 4);
    if (head.length < 4) return null;
    const kind = head[0]!;
    const size = view(head).getUint32(0) & 0xffffff;
    if ((kind & 127) === 4) return inComments(await bytes(file, place + 4, size));
    if (kind & 128) return null;
    place += 4 + size;
  }
  return null;
}

function inComments(block: Uint8Array): Uint8Array | null {
  const words = view(block);
  let place = 4 + words.getUint32(0, true);
  const count = Math.min(words.getUint32(place, true), MOST_CHUNKS);
  place += 4;
  for (let n = 0; n < count; n += 1) {
    const size = words.getUint32(place, true);
    const comment = block.subarray(place + 4, place + 4 + size);
    const name = latin(comment.subarray(0, FIELD.length + 1)).toUpperCase();
    if (name === `${FIELD}=`) return comment.subarray(FIELD.length + 1);
    place += 4 + size;
  }
  return null;
}

// MP3.

function syncsafe(content: Uint8Array, place: number): number {
  let number = 0;
  for (let n = 0; n < 4; n += 1) number = number * 128 + ((content[place + n] ?? 0) & 127);
  return number;
}

async function inId3(file: Blob): Promise<Uint8Array | null> {
  const head = await bytes(file, 0, 10);
  const version = head[3];
  const flags = head[5] ?? 0;
  const size = syncsafe(head, 6);
  if ((version !== 3 && version !== 4) || size > MOST_METADATA) return null;
  let body = await bytes(file, 10, size);
  if (flags & 0x80 && version === 3) {
    body = body.filter((value, n) => !(value === 0 && n > 0 && body[n - 1] === 0xff));
  }
  let place = 0;
  if (flags & 0x40) place = version === 3 ? 4 + view(body).getUint32(0) : syncsafe(body, 0);
  while (place + 10 <= body.length && body[place] !== 0) {
    const length = version === 4 ? syncsafe(body, place + 4) : view(body).getUint32(place + 4);
    const content = body.subarray(place + 10, place + 10 + length);
    if (latin(body.subarray(place, place + 4)) === "TXXX" && body[place + 9] === 0) {
      const told = ownText(content);
      if (told) return told;
    }
    place += 10 + length;
  }
  return null;
}

function ownText(content: Uint8Array): Uint8Array | null {
  const encodings = ["latin1", "utf-16", "utf-16be", "utf-8"];
  let encoding = encodings[content[0] ?? 4];
  if (encoding === undefined) return null;
  // With a mark of its order of bytes at the beginning; little-endian without.
  if (encoding === "utf-16") encoding = content[1] === 0xfe ? "utf-16be" : "utf-16le";
  const text = new TextDecoder(encoding).decode(content.subarray(1));
  const end = text.indexOf("\0");
  if (end < 0 || text.slice(0, end) !== FIELD) return null;
  return new TextEncoder().encode(text.slice(end + 1).replace(/^\ufeff/, ""));
}

// M4A.

async function inMp4(file: Blob): Promise<Uint8Array | null> {
  let place = 0;
  for (let n = 0; n < MOST_CHUNKS && place < file.size; n += 1) {
    const written = await bytes(file, place, 16);
    if (written.length < 8) return null;
    let size = view(written).getUint32(0);
    let head = 8;
    if (size === 1) {
      size = Number(view(written).getBigUint64(8));
      head = 16;
    } else if (size === 0) size = file.size - place;
    if (size < head || place + size > file.size) return null;
    if (latin(written.subarray(4, 8)) === "moov") {
      if (size > MOST_METADATA) return null;
      const moov = await bytes(file, place + head, size - head);
      const inside = descend(descend(moov, "udta"), "meta");
      return (inside && inMeta(inside)) ?? inMeta(descend(moov, "meta"));
    }
    place += size;
  }
  return null;
}

type Box = readonly [name: string, content: Uint8Array];

function children(content: Uint8Array): Box[] {
  const boxes: Box[] = [];
  for (let place = 0; place + 8 <= content.length; ) {
    const size = view(content).getUint32(place);
    // QuickTime ends a list of boxes with a zero.
    if (size === 0) break;
    if (size < 8 || size > content.length - place) throw new RangeError("a box is too large");
    boxes.push([latin(content.subarray(place + 4, place + 8)), content.subarray(place + 8, place + size)]);
    place += size;
  }
  return boxes;
}

function descend(content: Uint8Array | null, name: string): Uint8Array | null {
  return content && (children(content).find(([each]) => each === name)?.[1] ?? null);
}

function inMeta(meta: Uint8Array | null): Uint8Array | null {
  if (!meta) return null;
  // QuickTime's has no version before its children.
  const parts = children(latin(meta.subarray(4, 8)) === "hdlr" ? meta : meta.subarray(4));
  const part = (name: string) => parts.find(([each]) => each === name)?.[1] ?? new Uint8Array();
  const keys = children(part("keys").subarray(8)).map(([, name]) => latin(name));
  for (const [name, item] of children(part("ilst"))) {
    const inner = children(item);
    const own = inner.find(([each]) => each === "name")?.[1].subarray(4);
    const number = [...name].reduce((sum, letter) => sum * 256 + letter.charCodeAt(0), 0);
    const told = name === "----" ? latin(own ?? new Uint8Array()) : keys[number - 1];
    if (told === FIELD) return inner.find(([each]) => each === "data")?.[1].subarray(8) ?? null;
  }
  return null;
}
