// The token: where it comes from, what it says, and where it is kept. The page reads it only to show who one is and
// which rooms it lists; it is the broker that judges it.

const KEY = 'outcry.token';

/** Takes a token out of the address (#token=…), so that it is neither seen nor kept in the history; null if none. */
export function takeFromAddress(location, history) {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token !== null) history.replaceState(null, '', location.pathname + location.search);
  return token;
}

/** The token of this tab; null if there is none. The empty one means: connect without. */
export const load = () => sessionStorage.getItem(KEY);

export const save = (token) => sessionStorage.setItem(KEY, token);

export const forget = () => sessionStorage.removeItem(KEY);

/** Finds the token in what somebody pasted: the token itself, or an address that holds one. */
export function fromPasted(text) {
  const inAddress = text.match(/#token=([^&\s]+)/);
  return inAddress ? decodeURIComponent(inAddress[1]) : text.trim();
}

/**
 * What a token says about its bearer. Throws if it is not a JSON Web Token.
 * @returns {{user: string, rooms: string[], expires: number, login: boolean}} expires in ms since 1970, Infinity if
 *   never; login: it is there to be exchanged for tokens to connect with
 */
export function read(token) {
  if (token === '') return { user: '', rooms: [], expires: Infinity, login: false };
  const parts = token.split('.');
  if (parts.length !== 3) throw new Error('This is not a token: it should be three parts with dots between them.');
  const claims = decode(parts[1]);
  return {
    user: String(claims.sub ?? ''),
    rooms: Array.isArray(claims.rooms) ? claims.rooms.filter((r) => typeof r === 'string') : [],
    expires: typeof claims.exp === 'number' ? claims.exp * 1000 : Infinity,
    login: claims.login === true,
  };
}

/**
 * Exchanges a login for a token that is valid for minutes. Rejects with an Error, which has the code 0x87 if the login is
 * no longer good.
 */
export async function exchange(login) {
  const response = await fetch('token', { method: 'POST', headers: { Authorization: `Bearer ${login}` }, cache: 'no-store' })
    .catch(() => { throw new Error('the broker cannot be reached'); });
  const text = (await response.text()).trim();
  if (response.ok) return text;
  const error = new Error(`no fresh token: ${text || 'refused'} (HTTP ${response.status})`);
  throw Object.assign(error, response.status === 401 ? { code: 0x87 } : {});
}

function decode(part) {
  try {
    const binary = atob(part.replaceAll('-', '+').replaceAll('_', '/'));
    return Object(JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)))));
  } catch {
    throw new Error('This is not a token: its middle part is not readable. Was it copied whole?');
  }
}
