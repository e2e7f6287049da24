// What the page knows of the proxy, and what was made of it.

/// `link`: "connecting", "live", "lost" or "locked".
export const model = {
  link: "connecting",
  why: "",
  heardAt: null,
  mayChange: false,
  status: null,
  step: 5,
  number: 0,
  series: new Map(),
  versions: {},
};

export const key = (pool) => JSON.stringify([pool.name ?? pool.database, pool.secret]);

/// Takes an event of the feed in.
export function take(event, data) {
  model.heardAt = Date.now();
  if (event === "hello") model.mayChange = data.may_change;
  if (event === "status") takeStatus(data);
  if (event === "history") takeHistory(data);
  if (event === "sample") takeSample(data);
}

function takeStatus(status) {
  model.status = status;
  // A pool that a reload took away may linger beside a new one of the same name.
  const seen = new Map();
  for (const pool of status.databases) {
    const n = seen.get(key(pool)) ?? 0;
    seen.set(key(pool), n + 1);
    pool.id = n ? `${key(pool)} ${n}` : key(pool);
  }
  for (const secret of status.secrets) {
    const known = (model.versions[secret.secret] ??= []);
    const { version, user, adopted_at } = secret;
    if (version && known.at(-1)?.version !== version) known.push({ version, user, adopted_at });
  }
}

function takeHistory(history) {
  model.step = history.step_seconds;
  model.most = history.most;
  model.number = history.number;
  model.series = new Map(history.pools.map((pool) => [key(pool), pool.buckets]));
  model.versions = history.versions ?? {};
}

function takeSample(sample) {
  const missed = sample.number - model.number;
  if (missed <= 0) return;
  model.number = sample.number;
  for (const pool of sample.pools) {
    const buckets = model.series.get(key(pool)) ?? [];
    // What was sent while this page did not listen is not known.
    const gap = Array.from({ length: Math.min(missed - 1, model.most) }, () => null);
    model.series.set(key(pool), [...buckets, ...gap, ...pool.buckets].slice(-model.most));
  }
}

const loads = new WeakMap();
const NONE = [];

/// The load of a pool: for each bucket, transactions a second, and seconds a transaction. The
/// same arrays as before, until there is another bucket.
export function load(pool) {
  const buckets = model.series.get(key(pool)) ?? NONE;
  if (!loads.has(buckets)) loads.set(buckets, measure(buckets));
  return loads.get(buckets);
}

function measure(buckets) {
  const rates = buckets.map((b) => (b === null ? null : b[0] / model.step));
  const times = buckets.map((b) => (b === null || b[0] === 0 ? null : b[1] / b[0]));
  return { rates, times };
}

export const troubles = (where = () => true) => (model.status?.troubles ?? []).filter(where);

/// Generations that drain, of one pool.
export const draining = (pool) => pool.generations.filter((g) => g.draining_since);

/// Which colour a generation has: the next one always has another.
export const colour = (generation) => `g${(generation.number + 4) % 5}`;
