// What the reason codes of MQTT 5 (section 2.4) mean to somebody in front of a screen.

const sentences = {
  0x80: 'unspecified error',
  0x81: 'malformed packet',
  0x82: 'protocol error',
  0x83: 'refused by this broker',
  0x84: 'the broker does not speak MQTT 5',
  0x85: 'client identifier not valid',
  0x86: 'bad user name or password',
  0x87: 'not authorized',
  0x88: 'broker unavailable',
  0x89: 'broker busy',
  0x8a: 'banned',
  0x8b: 'the broker is shutting down',
  0x8d: 'keep alive timeout',
  0x8e: 'the session was taken over by another connection',
  0x93: 'too many messages in flight',
  0x95: 'message too large',
  0x96: 'message rate too high',
  0x97: 'quota exceeded',
  0x98: 'closed by the operator',
  0x9f: 'connecting too often',
};

/** A code and the broker's own words for it, if it gave any: "token expired (0x87)". */
export function describe(code, reason) {
  const hex = `0x${code.toString(16).toUpperCase().padStart(2, '0')}`;
  return `${reason || sentences[code] || 'refused'} (${hex})`;
}

/** Whether trying again with the same credentials is pointless. */
export const isFinal = (code) => [0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c].includes(code);

export const SHUTTING_DOWN = 0x8b;
export const TAKEN_OVER = 0x8e;
