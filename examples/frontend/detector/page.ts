/** A file is dropped or chosen, and looked at here: it never leaves this machine. */

import { readLabel, type Label } from "./label.js";
import { RATE } from "./mark.js";
import type { Read } from "./reader.js";
import { type Found, LEAST_SECONDS } from "./search.js";
import { type Credentials, type Layers, type Verdict, judge } from "./verdict.js";

type Told = { done: number } | { found: Found };
/** What the sound says, or why it could not be searched. */
type Sound = { found: Found } | { refused: string };

/** A browser holds a file's samples in memory: more than this is not tried. */
const MOST_BYTES = 512 * 1024 * 1024;

function byId<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page holds no #${id}`);
  return found as T;
}

const area = byId("area");
const chosen = byId<HTMLInputElement>("file");
const verdict = byId("verdict");
const answer = byId("answer");
const progress = byId<HTMLProgressElement>("progress");
const told = byId("told");
const reasons = byId("reasons");
/** At work. */
let workers: Worker[] = [];
/** Has read credentials and may read others. */
let idle: Worker | null = null;
let turn = 0;

chosen.addEventListener("change", () => {
  const file = chosen.files?.[0];
  if (file) void examine(file);
  // The same file may be chosen again.
  chosen.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  addEventListener(name, (event) => {
    event.preventDefault();
    area.dataset["over"] = "true";
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete area.dataset["over"];
});
addEventListener("drop", (event) => {
  event.preventDefault();
  delete area.dataset["over"];
  const file = event.dataTransfer?.files[0];
  if (file) void examine(file);
});

/** Mono samples at RATE, as the browser decodes and resamples them. */
async function decode(file: File): Promise<Float32Array> {
  const decoder = new OfflineAudioContext(1, 1, RATE);
  const sound = await decoder.decodeAudioData(await file.arrayBuffer());
  const first = sound.getChannelData(0);
  if (sound.numberOfChannels === 1) return first;
  const mean = new Float32Array(sound.length);
  let apart = 0;
  for (let channel = 0; channel < sound.numberOfChannels; channel += 1) {
    sound.getChannelData(channel).forEach((value, n) => {
      mean[n]! += value / sound.numberOfChannels;
      apart += (value * value) / sound.numberOfChannels;
    });
  }
  // Where channels cancel, one says more than their mean.
  const together = mean.reduce((sum, value) => sum + value * value, 0);
  return together < 0.05 * apart ? first : mean;
}

async function examine(file: File): Promise<void> {
  turn += 1;
  const mine = turn;
  for (const worker of workers) worker.terminate();
  workers = [];
  show("busy", `Looking at ${file.name} …`);
  told.hidden = true;
  progress.hidden = false;
  progress.removeAttribute("value");
  const [read, label, sound] = await Promise.all([
    verify(file),
    readLabel(file).catch(() => null),
    searched(file, () => mine === turn),
  ]);
  if (mine !== turn) return;
  progress.hidden = true;
  tell(read, label, sound);
}

/** Ask a worker; the answer is the first one that is taken for the last. */
function ask<T>(
  worker: Worker,
  question: unknown,
  moved: Transferable[],
  isLast: (answer: T) => boolean,
): Promise<T> {
  workers.push(worker);
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<T>) => {
      if (!isLast(data)) return;
      workers = workers.filter((each) => each !== worker);
      resolve(data);
    };
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(question, moved);
  });
}

function start(script: string): Worker {
  return new Worker(new URL(script, import.meta.url), { type: "module" });
}

async function verify(file: File): Promise<Read> {
  const reader = idle ?? start("reader.js");
  idle = null;
  let read: Read;
  try {
    read = await ask<Read>(reader, file, [], () => true);
  } catch (error) {
    read = { missing: String(error) };
  }
  // What a broken file did to it is not kept; else it need not be loaded again.
  if (!idle && "credentials" in read && read.credentials?.valid !== false) idle = reader;
  else reader.terminate();
  return read;
}

async function searched(file: File, wanted: () => boolean): Promise<Sound> {
  if (file.size > MOST_BYTES) {
    return { refused: "This file is too large for a browser. Cut a few minutes out of it and drop those." };
  }
  let samples: Float32Array;
  try {
    samples = await decode(file);
  } catch {
    return { refused: "This browser cannot read the file as sound. WAV, MP3, M4A and FLAC work in most." };
  }
  if (samples.length < LEAST_SECONDS * RATE) {
    return { refused: `The sound is too short: at least ${LEAST_SECONDS} seconds are needed.` };
  }
  let sound: Sound = { refused: "The search failed. Load the page again." };
  if (!wanted()) return sound;
  const worker = start("worker.js");
  try {
    const last = await ask<Told>(worker, samples, [samples.buffer], (answer) => {
      if ("done" in answer) progress.value = answer.done;
      return "found" in answer;
    });
    if ("found" in last) sound = last;
  } catch {
    // Told above.
  }
  worker.terminate();
  return sound;
}

function tell(read: Read, label: Label | null, sound: Sound): void {
  const layers: Layers = {
    credentials: "credentials" in read ? read.credentials : undefined,
    label,
    found: "found" in sound ? sound.found.found : undefined,
  };
  const judged = judge(layers);
  if ("refused" in sound && !layers.credentials && !label) return show("refused", sound.refused);
  show(judged.verdict, headline(judged.verdict, layers));
  reasons.replaceChildren(
    ...judged.reasons.map((reason) => {
      const item = document.createElement("li");
      item.textContent = reason;
      return item;
    }),
  );
  byId("credentials").textContent =
    "credentials" in read
      ? ofCredentials(read.credentials)
      : "Not looked at: c2pa's library is not there, or does not run in this browser.";
  byId("label").textContent = label ? JSON.stringify(label) : "None.";
  byId("mark").textContent = "found" in sound ? ofMark(sound.found) : sound.refused;
  told.hidden = false;
}

function headline(verdict: Verdict, { credentials, label, found }: Layers): string {
  if (credentials && verdict === "agree") {
    const machine = /lgorithmic[^/]*$/.test(credentials.digitalSource) ? "A machine made this. " : "";
    const who = credentials.trusted ? credentials.signer : "somebody who is not known here";
    return `${machine}It is unchanged since ${who} signed it.`;
  }
  if (verdict === "altered") return "Its credentials do not hold.";
  if (verdict === "contradict") return "What it says of itself contradicts itself.";
  const signed = credentials === null ? " It has no credentials." : "";
  if (found) return `A machine spoke this.${signed}`;
  if (label) return `Its label says that a machine made this.${signed}`;
  return "Nothing was found that says that a machine spoke this.";
}

function ofCredentials(credentials: Credentials | null): string {
  if (!credentials) return "None.";
  const { valid, trusted, signer, signedAt, madeAt, facts } = credentials;
  const holds = valid ? `Valid, ${trusted ? "and trusted" : "and not trusted"} here` : "Not valid";
  const when = signedAt
    ? `signed ${signedAt}, by a time stamp authority`
    : `made ${madeAt || "nobody tells when"}, by its own word`;
  const told = Object.entries(facts).map(([name, value]) => `${name} ${String(value)}`);
  const parts = [holds, signer && `signed by ${signer}`, when, told.length && `it says: ${told.join(", ")}`];
  return `${parts.filter(Boolean).join("; ")}.`;
}

function ofMark({ found, score, chance, change, seconds }: Found): string {
  if (found) {
    const sure = `By chance alone a search like this one would say so ${odds(chance)}.`;
    return `Found: a machine spoke this. ${sure}${playing(change.pace)}`;
  }
  return (
    `Not found in ${Math.round(seconds)} s; the best score was ${score.toFixed(1)} deviations. That ` +
    "proves nothing: not every machine puts it in, and it can be taken out."
  );
}

function odds(chance: number): string {
  const power = Math.floor(-Math.log10(chance));
  return power >= 300 ? "less than once in 10^300 times" : `less than once in 10^${power} times`;
}

function playing(pace: number): string {
  if (Math.abs(pace - 1) < 0.003) return "";
  return ` It plays ${pace > 1 ? "faster" : "slower"} than it was made, at about ${pace.toFixed(2)} times.`;
}

function show(state: string, text: string): void {
  verdict.hidden = false;
  verdict.dataset["state"] = state;
  answer.textContent = text;
}
