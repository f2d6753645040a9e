/**
 * What a file's layers say together, as `narrator-daemon inspect` says it, but for the secret mark, which
 * nobody can look for without its key.
 */

import type { Label } from "./label.js";

/** What content credentials say, and whether they hold. */
export interface Credentials {
  /** Whether signature and content are as they were signed. */
  readonly valid: boolean;
  /** Whether the certificate leads to one that whoever serves this page trusts. */
  readonly trusted: boolean;
  /** Whether they are of another content than the file's. */
  readonly otherContent: boolean;
  /** What is wrong, for people. */
  readonly problems: readonly string[];
  /** Whose certificate it says it is; proves nothing where it is not trusted. */
  readonly signer: string;
  /** When, by a time stamp authority; empty where none was asked. */
  readonly signedAt: string;
  /** When, by the file's own word. */
  readonly madeAt: string;
  /** Whether a narrator-daemon made them. */
  readonly ours: boolean;
  /** What they say of a narration. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The IPTC's address of what kind of source it is. */
  readonly digitalSource: string;
}

export interface Layers {
  /** Null where there are none, undefined where they could not be looked for. */
  readonly credentials: Credentials | null | undefined;
  readonly label: Label | null;
  /** Whether the public mark is there; undefined where it could not be looked for. */
  readonly found: boolean | undefined;
}

/** Of several that hold, the last in this order. */
const ORDER = ["nothing", "agree", "stripped", "altered", "contradict"] as const;
export type Verdict = (typeof ORDER)[number];

type Said = readonly [verdict: Verdict | null, reason: string];

export function judge(layers: Layers): { verdict: Verdict; reasons: string[] } {
  const said = [...reasonsFor(layers)];
  const rank = Math.max(0, ...said.map(([verdict]) => (verdict ? ORDER.indexOf(verdict) : 0)));
  return { verdict: ORDER[rank] ?? "nothing", reasons: said.map(([, reason]) => reason) };
}

function* reasonsFor({ credentials, label, found }: Layers): Generator<Said> {
  if (credentials) {
    yield ofCredentials(credentials);
    if (labelDiffers(credentials, label)) {
      yield ["contradict", "Its label says something else than its credentials."];
    }
    if (found && credentials.valid && !/lgorithmic[^/]*$/.test(credentials.digitalSource)) {
      const kind = credentials.digitalSource || "nothing that is known";
      yield ["contradict", `Its credentials call it ${kind}, and its sound says that a machine spoke it.`];
    }
  } else if (credentials === null && found) {
    yield [
      "stripped",
      "Its sound is marked and it has no credentials: they were taken out, lost when it was converted, " +
        "or never put in.",
    ];
  } else if (credentials === null && label) {
    yield ["stripped", "Its label says that a machine made it, and nobody has signed for that."];
  }
}

function ofCredentials(credentials: Credentials): Said {
  if (credentials.valid) {
    const whose = credentials.trusted ? "trusted here" : "not trusted here: anybody may take any name";
    const signer = credentials.signer || "somebody without a name";
    return ["agree", `Its credentials are valid, signed by ${signer}, whose certificate is ${whose}.`];
  }
  const broken = `Its credentials do not hold: ${credentials.problems.join("; ")}.`;
  if (!credentials.otherContent) return ["altered", broken];
  const either = "It was changed after it was signed, or they are another file's.";
  return ["altered", `${broken} ${either} Which of the two, the secret mark tells who has its key.`];
}

function labelDiffers({ ours, facts }: Credentials, label: Label | null): boolean {
  if (!label || !ours) return false;
  const named = [facts["claim"], facts["book"]].includes(label["ProduceID"]);
  return label["Label"] !== "1" || !named;
}

// What c2pa's reader tells.

/** What failed, for people, by the standard's codes; what is not here is told by its code. */
const FAILURES: Readonly<Record<string, string>> = {
  "assertion.dataHash.mismatch": "the file is not the one that was signed",
  "assertion.bmffHash.mismatch": "the file is not the one that was signed",
  "assertion.hashedURI.mismatch": "what the credentials say was changed",
  "claimSignature.mismatch": "the signature is not that of its certificate",
  "claimSignature.outsideValidity": "it was signed outside its certificate's time",
  "signingCredential.invalid": "the certificate is none for signing content",
  "signingCredential.expired": "the certificate has expired",
  "signingCredential.revoked": "the certificate was revoked",
};
const OTHER_CONTENT = ["assertion.dataHash.mismatch", "assertion.bmffHash.mismatch"];
const NARRATION = "org.narrator-daemon.narration";

interface Action {
  readonly action?: string;
  readonly when?: string;
  readonly digitalSourceType?: string;
}

interface Store {
  readonly active_manifest?: string;
  readonly validation_state?: string;
  readonly validation_results?: {
    readonly activeManifest?: { readonly failure?: readonly { readonly code: string }[] };
  };
  readonly manifests?: Readonly<
    Record<
      string,
      {
        readonly assertions?: readonly { readonly label: string; readonly data: unknown }[];
        readonly signature_info?: Readonly<Record<string, string | undefined>>;
      }
    >
  >;
}

/** The credentials in what c2pa's reader gives as JSON. */
export function credentialsIn(store: Store): Credentials {
  const manifest = store.manifests?.[store.active_manifest ?? ""];
  if (!manifest) return damaged("they hold no manifest");
  const codes = (store.validation_results?.activeManifest?.failure ?? []).map(({ code }) => code);
  const wrong = codes.filter((code) => code !== "signingCredential.untrusted");
  const told = new Map((manifest.assertions ?? []).map(({ label, data }) => [label, data]));
  const actions = (told.get("c2pa.actions.v2") ?? told.get("c2pa.actions")) as
    | { readonly actions?: readonly Action[] }
    | undefined;
  const created = actions?.actions?.find(({ action }) => action === "c2pa.created");
  const signature = manifest.signature_info ?? {};
  const facts = told.get(NARRATION);
  return {
    valid: store.validation_state === "Valid" || store.validation_state === "Trusted",
    trusted: store.validation_state === "Trusted",
    otherContent: wrong.some((code) => OTHER_CONTENT.includes(code)),
    problems: [...new Set(wrong.map((code) => FAILURES[code] ?? code))],
    signer: signature["common_name"] ?? signature["issuer"] ?? "",
    signedAt: signature["time"] ?? "",
    madeAt: created?.when ?? "",
    ours: facts !== undefined,
    facts: typeof facts === "object" && facts !== null ? (facts as Record<string, unknown>) : {},
    digitalSource: created?.digitalSourceType ?? "",
  };
}

/** Credentials that cannot be read. */
export function damaged(why: string): Credentials {
  return {
    valid: false,
    trusted: false,
    otherContent: false,
    problems: [`they cannot be read: ${why}`],
    signer: "",
    signedAt: "",
    madeAt: "",
    ours: false,
    facts: {},
    digitalSource: "",
  };
}
