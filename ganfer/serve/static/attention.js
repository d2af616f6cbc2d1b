// Whether a person attends: where head and eyes point, against where that person looked in the first seconds. The same
// rule as `ganfer predict --attention`, with its usual settings.

const CALIBRATE_SECONDS = 5;
const AWAY_YAW = 18; // degrees
const AWAY_PITCH = 15;
const OFF_CENTRE = 35; // degrees from the camera that may be taken for the screen
const STEADY_SECONDS = 0.3;
const ASLEEP_SECONDS = 1;
const CLOSING = 0.35, OPENING = 0.2; // rise of the closure over its usual value at which the eyes shut and open

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

const clipped = (value) => Math.max(-OFF_CENTRE, Math.min(OFF_CENTRE, value));

export class Attention {
  constructor() { this.people = new Map(); }

  /** {state, yaw, pitch, closed, calibrated} of a face with its `gaze` from the server, which may be null. */
  judge(person, gaze, seconds) {
    let known = this.people.get(person);
    if (!known) {
      known = { first: seconds, last: seconds, samples: [], centre: null, direction: null, usual: 0.1, shut: null };
      this.people.set(person, known);
    }
    const step = Math.max(0, seconds - known.last);
    known.last = seconds;
    if (!gaze) {
      known.direction = null;
      return { state: "looking away", yaw: null, pitch: null, closed: null, calibrated: Boolean(known.centre) };
    }
    if (!known.centre) {
      known.samples.push([gaze.yaw, gaze.pitch, gaze.closed]);
      if (seconds - known.first >= CALIBRATE_SECONDS) {
        known.centre = centre(known);
        known.usual = median(known.samples.map((sample) => sample[2]));
        known.samples = [];
      }
    }
    const share = known.direction ? 1 - Math.exp(-step / STEADY_SECONDS) : 1;
    const before = known.direction ?? [gaze.yaw, gaze.pitch];
    known.direction = [before[0] + share * (gaze.yaw - before[0]), before[1] + share * (gaze.pitch - before[1])];
    const rise = gaze.closed - known.usual;
    if (known.shut === null) { if (rise > CLOSING) known.shut = seconds; }
    else if (rise < OPENING) known.shut = null;
    const asleep = known.shut !== null && seconds - known.shut > ASLEEP_SECONDS;
    const middle = centre(known);
    const yaw = known.direction[0] - middle[0], pitch = known.direction[1] - middle[1];
    const away = asleep || Math.abs(yaw) > AWAY_YAW || Math.abs(pitch) > AWAY_PITCH;
    return { state: away ? "looking away" : "attentive", yaw, pitch, closed: gaze.closed, calibrated: Boolean(known.centre) };
  }
}

/** Degrees at which this person faces the screen: known, or the best guess so far. */
function centre(known) {
  if (known.centre) return known.centre;
  if (!known.samples.length) return [0, 0];
  return [0, 1].map((axis) => clipped(median(known.samples.map((sample) => sample[axis]))));
}
