// Keeps the token of an MQTT.js client fresh: MQTT 3.1.1 and 5. The token goes to the broker as a password or as a
// message, and nowhere else.

const NOTICES = '$me/token'; // where the broker tells what has become of the client's token
const SHOW = '$auth/token'; // the broker takes a fresh token here, and forwards it to no subscriber

const FIRST_DELAY = 1000; // ms
const LONGEST_DELAY = 15_000;

const decoder = new TextDecoder();

/**
 * Shows the broker a fresh token whenever it says that the client's expires, so that the connection goes on. If there is
 * none, or the broker refuses it, it tries again until the connection ends. A client that connects again by itself
 * (reconnectPeriod) does so with a fresh token, too.
 *
 * @param {import('mqtt').MqttClient} client
 * @param {() => Promise<string>} fetchToken resolves to a fresh token of the same user
 * @param {object} [told]
 * @param {() => void} [told.onFresh] the broker has taken a fresh token
 * @param {(why: string) => void} [told.onTrouble] there was none, or it was refused; it is tried again
 * @returns {() => void} stops it
 */
export function keepFresh(client, fetchToken, { onFresh = () => {}, onTrouble = () => {} } = {}) {
  let timer = 0;
  let failures = 0;
  let epoch = 0; // of the connection: what was begun in another one is of no use

  const trouble = (why) => {
    onTrouble(why);
    clearTimeout(timer);
    timer = setTimeout(show, delay(failures++));
  };

  const show = async () => {
    const begun = epoch;
    let token;
    try {
      token = await fetchToken();
    } catch (err) {
      if (begun === epoch && client.connected) trouble(err.message);
      return;
    }
    client.options.password = token; // for the next connection
    if (begun !== epoch || !client.connected) return;
    client.publish(SHOW, token, { qos: 1 }, () => {}); // what became of it is told as a notice
  };

  const notices = {
    expiring: show,
    refreshed: () => {
      failures = 0;
      clearTimeout(timer);
      onFresh();
    },
    refused: (notice) => trouble(notice.reason || 'the broker refused it'),
  };

  const listeners = {
    connect: () => client.subscribe(NOTICES, { qos: 0 }, () => {}),
    message: (topic, payload) => {
      if (topic !== NOTICES) return;
      const notice = parse(payload);
      notices[notice.event]?.(notice);
    },
    close: () => {
      epoch++;
      failures = 0;
      clearTimeout(timer);
      if (client.options.reconnectPeriod > 0 && !client.disconnecting) prepare();
    },
  };

  // The next attempt takes what is there by then: the old token if no other can be had, and so on until one is accepted.
  const prepare = async () => {
    try {
      client.options.password = await fetchToken();
    } catch (err) {
      onTrouble(err.message);
    }
  };

  for (const [event, listener] of Object.entries(listeners)) client.on(event, listener);
  if (client.connected) listeners.connect();
  return () => {
    epoch++;
    clearTimeout(timer);
    for (const [event, listener] of Object.entries(listeners)) client.off(event, listener);
  };
}

/** Doubles with each failure and is spread by half, so that a thousand pages don't all ask at once. */
function delay(failures) {
  return Math.min(FIRST_DELAY * 2 ** failures, LONGEST_DELAY) * (0.5 + Math.random() / 2);
}

function parse(payload) {
  try {
    return Object(JSON.parse(decoder.decode(payload)));
  } catch {
    return {};
  }
}
