/**
 * The narration contract, from a frontend's side: ask, watch, cancel, play.
 *
 *   const stop = watchNarration(db, "emma", (narration) => render(narration));
 *   await requestNarration(db, "emma", user.uid);
 *
 * Copy this file into your project. It needs `@firebase/database` (or `firebase/database`) alone,
 * writes a few fields of a book and reads the rest.
 */

import {
  type Database,
  type Unsubscribe,
  onValue,
  ref,
  runTransaction,
  serverTimestamp,
  update,
} from "@firebase/database";

/** Where the catalogue is; `[books] path` of the daemon. */
export const BOOKS = "books";

/** Where batches are: beside the books of a catalogue at `/books`. */
export const BATCHES = "narrationBatches";

/** Why a book could not be narrated; the list is closed. */
export type ErrorCode =
  | "no_text"
  | "text_not_string"
  | "text_too_long"
  | "too_many_words"
  | "nothing_speakable"
  | "unknown_voice"
  | "bad_cast"
  | "bad_lexicon"
  | "no_such_segment"
  | "segments_not_kept"
  | "engine_error"
  | "out_of_memory"
  | "stuck"
  | "worker_lost"
  | "refused"
  | "internal_error";

export interface NarrationError {
  /** What went wrong. A newer daemon may know codes that this file does not. */
  readonly code: ErrorCode | (string & {});
  /** For an admin to read, in English. */
  readonly message: string;
  /** How often it was tried. */
  readonly attempts: number;
  /** When it failed. */
  readonly at: Date | null;
}

/** The same audio as another file, or the beginning of it. */
export interface AudioFile {
  readonly url: string;
  /** What `HTMLMediaElement.canPlayType` wants to know. */
  readonly type: string;
  readonly bytes: number;
}

/** A finished narration. A WAV that any browser plays, and that can be sought in. */
export interface NarrationAudio {
  /** Where it plays from. Renewed from time to time: the audio behind it stays the same. */
  readonly url: string;
  /** Names the audio itself: changes with each take, and not when the URL is renewed. */
  readonly id: string;
  readonly seconds: number;
  /** What says when its words are heard; see `loadWords`. */
  readonly captions: Captions;
  /** The same as smaller files, the smallest first; see `lightest`. */
  readonly files: readonly AudioFile[];
  readonly madeAt: Date | null;
  /** SHA-256, in hex, of the text that is read in it; see `isOutdated`. */
  readonly textHash: string | null;
}

/** Where the files are that say when the words of a narration are heard; null where there is none. */
export interface Captions {
  /** JSON, for `loadWords`. */
  readonly words: string | null;
  /** WebVTT, for `<track kind="captions">`. */
  readonly subtitles: string | null;
  /** WebVTT, for `<track kind="chapters">`. */
  readonly chapters: string | null;
}

/** A word of the text, and when it is heard. */
export interface TimedWord {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  /** `text.slice(from, to)` is the word, in the text as the book holds it. */
  readonly from: number;
  readonly to: number;
}

/** A heading of the text, and when it is read. */
export interface TimedHeading {
  readonly title: string;
  /** 1 or 2 opens a chapter; up to 6. */
  readonly level: number;
  readonly start: number;
  readonly from: number;
}

/** What can be read anew by itself: its number, for `retakeNarration`, is its place plus one. */
export interface TimedSegment {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  readonly from: number;
  readonly to: number;
}

/** When what is heard. */
export interface Words {
  /** SHA-256, in hex, of the text that the places are in. */
  readonly textHash: string;
  /** How the times are known, the most exact first. */
  readonly timedBy: "engine" | "recogniser" | "length";
  /** In the order of the text, and of time. */
  readonly words: readonly TimedWord[];
  readonly headings: readonly TimedHeading[];
  readonly segments: readonly TimedSegment[];
}

export type NarrationState = "none" | "requested" | "processing" | "ready" | "failed";

/** What a page shows of a book's narration. */
export interface Narration {
  readonly state: NarrationState;
  /** From 0 to 1 while processing, else 0. */
  readonly progress: number;
  /** When it will probably be ready, while it waits or is being made; null where nobody knows. */
  readonly readyBy: Date | null;
  /** The newest finished narration, also while another is being made or has failed. */
  readonly audio: NarrationAudio | null;
  /** The first minute of a long book that is being narrated. */
  readonly preview: AudioFile | null;
  /** Why it failed; null unless it did. */
  readonly error: NarrationError | null;
}

/** Reads the narration out of a book as it is in the database. Takes any value. */
export function narrationOf(book: unknown): Narration {
  const field = (name: string) => child(book, name);
  const status = field("narrativeAudioStatus");
  const state = STATES.find((known) => known === status) ?? "none";
  const busy = state === "requested" || state === "processing";
  const readyBy = busy ? number(field("narrativeAudioReadyBy")) : 0;
  return {
    state,
    readyBy: readyBy > 0 ? new Date(readyBy) : null,
    progress: state === "processing" ? clamp(number(field("narrativeAudioProgress"))) : 0,
    audio: audioOf(book),
    preview: state === "processing" ? fileOf(field("narrativeAudioPreview"), "m4a") : null,
    error: state === "failed" ? errorOf(field("narrativeAudioError")) : null,
  };
}

/** Calls back with a book's narration, now and at each change, until the function it gives is called. */
export function watchNarration(
  db: Database,
  bookId: string,
  onChange: (narration: Narration) => void,
  onRefused?: (error: Error) => void,
): Unsubscribe {
  return onValue(ref(db, `${BOOKS}/${bookId}`), (now) => onChange(narrationOf(now.val())), onRefused);
}

/** When a narration is wanted. */
export interface Wishes {
  /** What goes first. For a whole catalogue at once `bulk`; left out, `normal`. */
  readonly priority?: "now" | "normal" | "bulk";
  /** The narration does not begin before then. */
  readonly notBefore?: Date;
}

/**
 * "Generate narrative": asks for a narration of the book's text, or for a fresh take of it.
 *
 * @param uid the signed-in user, who can ask for so many a minute before having to wait.
 * @param wishes when it is wanted; they are of this request alone.
 */
export async function requestNarration(
  db: Database,
  bookId: string,
  uid?: string,
  wishes: Wishes = {},
): Promise<void> {
  await ask(db, bookId, null, uid, wishes);
}

/**
 * Asks for some segments to be read anew while all others stay as they are.
 *
 * @param segments their numbers, from 1, as reports of the narration give them.
 * @param uid as for `requestNarration`.
 */
export async function retakeNarration(
  db: Database,
  bookId: string,
  segments: readonly number[],
  uid?: string,
): Promise<void> {
  await ask(db, bookId, [...segments], uid, {});
}

async function ask(
  db: Database,
  bookId: string,
  retake: number[] | null,
  uid: string | undefined,
  wishes: Wishes,
): Promise<void> {
  await update(ref(db, `${BOOKS}/${bookId}`), requestOf(retake, uid, wishes));
}

function requestOf(
  retake: number[] | null,
  uid: string | undefined,
  wishes: Wishes,
): Record<string, unknown> {
  return {
    narrativeAudioStatus: "requested",
    narrativeAudioRequestedAt: serverTimestamp(),
    narrativeAudioRequestedBy: uid ?? null,
    narrativeAudioRetake: retake,
    narrativeAudioPriority: wishes.priority ?? null,
    narrativeAudioNotBefore: wishes.notBefore?.getTime() ?? null,
    narrativeAudioBatch: null,
  };
}

/** How far a batch is. */
export interface Batch {
  /** What became of each book, by its id. */
  readonly books: ReadonlyMap<string, "requested" | "ready" | "failed" | "cancelled">;
  /** Books that are over, as a share of all, from 0 to 1. */
  readonly progress: number;
  /** Whether no book of it is still to come. */
  readonly finished: boolean;
  /** Whether it was taken back. */
  readonly cancelled: boolean;
}

/**
 * Asks for many books together, all at once or none; 1,000 at most.
 *
 * @param uid as for `requestNarration`, whose limit counts for each of them.
 * @param wishes as for `requestNarration`; left out, they go after presses of a button.
 * @returns the id of the batch.
 */
export async function requestBatch(
  db: Database,
  bookIds: readonly string[],
  uid?: string,
  title = "",
  wishes: Wishes = { priority: "bulk" },
): Promise<string> {
  const id = crypto.randomUUID();
  const fields: Record<string, unknown> = {};
  for (const bookId of bookIds) {
    const request = requestOf(null, uid, wishes);
    for (const [name, value] of Object.entries({ ...request, narrativeAudioBatch: id })) {
      fields[`${BOOKS}/${bookId}/${name}`] = value;
    }
  }
  fields[`${BATCHES}/${id}`] = {
    requestedAt: serverTimestamp(),
    requestedBy: uid ?? null,
    title: title || null,
    open: true,
    books: Object.fromEntries(bookIds.map((bookId) => [bookId, "requested"])),
  };
  await update(ref(db), fields);
  return id;
}

/** Calls back with how far a batch is, now and at each change, until the function it gives is called. */
export function watchBatch(
  db: Database,
  id: string,
  onChange: (batch: Batch) => void,
  onRefused?: (error: Error) => void,
): Unsubscribe {
  return onValue(ref(db, `${BATCHES}/${id}`), (now) => onChange(batchOf(now.val())), onRefused);
}

/** Takes back what of a batch is not over; a running daemon does it within half a minute. */
export async function cancelBatch(db: Database, id: string): Promise<void> {
  await update(ref(db, `${BATCHES}/${id}`), { cancel: true });
}

/** Reads a batch out of what is in the database. Takes any value. */
export function batchOf(batch: unknown): Batch {
  const listed = child(batch, "books");
  const states = ["ready", "failed", "cancelled"] as const;
  const named = typeof listed === "object" && listed !== null ? Object.entries(listed) : [];
  const books = new Map(
    named.map(([id, state]) => [id, states.find((known) => known === state) ?? "requested"] as const),
  );
  const over = [...books.values()].filter((state) => state !== "requested").length;
  return {
    books,
    progress: books.size ? over / books.size : 0,
    finished: child(batch, "open") !== true,
    cancelled: child(batch, "cancel") === true,
  };
}

/**
 * Where to play a narration from: the smallest of its files that this browser plays, else the WAV.
 *
 * @param canPlay tells whether a type can be played; left out, the browser is asked.
 */
export function lightest(
  audio: NarrationAudio,
  canPlay: (type: string) => boolean = (type) => new Audio().canPlayType(type) !== "",
): string {
  return audio.files.find((file) => canPlay(file.type))?.url ?? audio.url;
}

/**
 * Fetches when the words of a narration are heard; null where that is not said.
 *
 * The bucket must let pages of your origin read it: see "Reading along" in the documentation.
 */
export async function loadWords(audio: NarrationAudio): Promise<Words | null> {
  if (audio.captions.words === null) return null;
  const answer = await fetch(audio.captions.words);
  if (!answer.ok) throw new Error(`the words cannot be had: ${answer.status}`);
  return wordsOf(await answer.json());
}

/** Reads what `loadWords` fetches. Takes any value; null where it says nothing. */
export function wordsOf(document: unknown): Words | null {
  const segments = child(document, "segments");
  const textHash = child(document, "textHash");
  if (!Array.isArray(segments) || typeof textHash !== "string") return null;
  const words: TimedWord[] = [];
  for (const segment of segments as unknown[]) {
    const listed = child(segment, "words");
    if (!Array.isArray(listed)) continue;
    for (const word of listed as unknown[]) {
      const [start, end, from, to] = Array.isArray(word) ? word.map(number) : [];
      if (start === undefined || end === undefined || from === undefined || to === undefined) continue;
      const last = words[words.length - 1];
      if (from < to && from >= (last?.to ?? 0) && start >= (last?.start ?? 0)) {
        words.push({ start, end, from, to });
      }
    }
  }
  const by = child(document, "timedBy");
  return {
    textHash,
    timedBy: by === "engine" || by === "recogniser" ? by : "length",
    words,
    headings: headingsOf(child(document, "headings")),
    segments: (segments as unknown[]).map((segment) => ({
      start: number(child(segment, "start")),
      end: number(child(segment, "end")),
      from: number(child(segment, "from")),
      to: number(child(segment, "to")),
    })),
  };
}

/** The number, from 1, of the segment that holds a place of the text; null where none does. */
export function segmentAt(words: Words, place: number): number | null {
  const found = words.segments.findIndex((one) => one.from <= place && place < one.to);
  return found < 0 ? null : found + 1;
}

/**
 * The number of the word that is heard at a time, or was heard last; -1 before the first.
 *
 * @param seconds `currentTime` of the player.
 */
export function wordAt(words: readonly TimedWord[], seconds: number): number {
  let low = 0;
  let high = words.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((words[middle]?.start ?? Infinity) <= seconds) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Whether the book's next narration says in words that a machine reads it; null leaves that to the
 * operator, who also decides whether a book may choose. Asks for nothing by itself.
 */
export async function chooseNotice(
  db: Database,
  bookId: string,
  notice: boolean | null,
): Promise<void> {
  await update(ref(db, `${BOOKS}/${bookId}`), { narrativeAudioNotice: notice });
}

/**
 * Takes a request back. An earlier narration stays.
 *
 * @returns false where it was too late: the narration had been finished, or had failed, by then.
 */
export async function cancelNarration(db: Database, bookId: string): Promise<boolean> {
  const { committed } = await runTransaction(
    ref(db, `${BOOKS}/${bookId}/narrativeAudioStatus`),
    // Before the server has been asked the value may be null here: that must not end it.
    (status) => (status === "ready" || status === "failed" ? undefined : null),
  );
  return committed;
}

/** Whether the text is another than the one that is read in the audio. */
export async function isOutdated(audio: NarrationAudio, text: string): Promise<boolean> {
  if (audio.textHash === null) return false;
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const hex = Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0"));
  return hex.join("") !== audio.textHash;
}

const STATES: readonly NarrationState[] = ["requested", "processing", "ready", "failed"];

function audioOf(book: unknown): NarrationAudio | null {
  const url = child(book, "narrativeAudioUrl");
  if (typeof url !== "string" || !/^https?:\/\//.test(url)) return null;
  const path = child(book, "narrativeAudioPath");
  const madeAt = number(child(book, "narrativeUpdatedAt"));
  const textHash = child(book, "narrativeAudioTextHash");
  return {
    url,
    id: typeof path === "string" ? path : url,
    seconds: number(child(book, "narrativeAudioDuration")),
    captions: captionsOf(child(book, "narrativeAudioCaptions")),
    files: filesOf(child(book, "narrativeAudioFiles")),
    madeAt: madeAt > 0 ? new Date(madeAt) : null,
    textHash: typeof textHash === "string" ? textHash : null,
  };
}

const TYPES: Readonly<Record<string, string>> = {
  opus: 'audio/ogg; codecs="opus"',
  m4a: 'audio/mp4; codecs="mp4a.40.2"',
  mp3: "audio/mpeg",
};

function captionsOf(captions: unknown): Captions {
  const url = (name: string) => fileOf(child(captions, name), name)?.url ?? null;
  return { words: url("json"), subtitles: url("vtt"), chapters: url("chapters") };
}

function headingsOf(listed: unknown): TimedHeading[] {
  const headings: unknown[] = Array.isArray(listed) ? listed : [];
  return headings.map((heading) => {
    const title = child(heading, "title");
    return {
      title: typeof title === "string" ? title : "",
      level: number(child(heading, "level")),
      start: number(child(heading, "start")),
      from: number(child(heading, "from")),
    };
  });
}

function filesOf(files: unknown): AudioFile[] {
  const known = Object.keys(TYPES).map((format) => fileOf(child(files, format), format));
  return known.filter((file) => file !== null).sort((one, other) => one.bytes - other.bytes);
}

function fileOf(file: unknown, format: string): AudioFile | null {
  const url = child(file, "url");
  if (typeof url !== "string" || !/^https?:\/\//.test(url)) return null;
  return { url, type: TYPES[format] ?? "", bytes: number(child(file, "bytes")) };
}

function errorOf(error: unknown): NarrationError {
  const code = child(error, "code");
  const message = child(error, "message");
  const at = number(child(error, "at"));
  return {
    code: typeof code === "string" ? code : "unknown",
    message: typeof message === "string" ? message : "The narration failed.",
    attempts: number(child(error, "attempts")),
    at: at > 0 ? new Date(at) : null,
  };
}

function child(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share));
}
