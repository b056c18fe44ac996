import { Series } from './series.js';

const POINTS = 120;

/**
 * The kinds of figures, in the order that they are shown, and the numbers that a message must have. Each reading gives the lines of the small chart (`lines`), a
 * figure, and a note; `top` is the end of the chart's scale if it is known.
 */
export const kinds = {
  cpu: {
    title: 'CPU',
    fields: ['percent'],
    read: ({ percent }) => ({ lines: [percent], figure: `${percent.toFixed(0)}%`, note: 'of all cores', top: 100 }),
  },
  memory: {
    title: 'Memory',
    fields: ['used', 'total'],
    read: ({ used, total }) => ({ lines: [used], figure: share(used, total), note: `${bytes(used)} of ${bytes(total)}`, top: total }),
  },
  disk: {
    title: 'Disk',
    fields: ['used', 'total', 'read_bps', 'write_bps'],
    read: ({ used, total, read_bps: reads, write_bps: writes }) => ({
      lines: [reads, writes],
      figure: share(used, total),
      note: `↓ ${bytes(reads)}/s read  ↑ ${bytes(writes)}/s written`,
    }),
  },
  network: {
    title: 'Network',
    fields: ['rx_bps', 'tx_bps'],
    read: ({ rx_bps: received, tx_bps: sent }) => ({
      lines: [received, sent],
      figure: `${bytes(received + sent)}/s`,
      note: `↓ ${bytes(received)}/s  ↑ ${bytes(sent)}/s`,
    }),
  },
};

/** The newest figures of every machine: by host, then by kind. */
export class Machines {
  hosts = new Map();

  /** Takes a message; false if it is not a machine's. */
  apply(topic, read) {
    const [first, host, kind] = topic.split('/');
    if (first !== 'machine') return false;
    if (!(kind in kinds)) return true;
    const message = read();
    if (!['t', ...kinds[kind].fields].every((field) => Number.isFinite(message[field]))) return true;
    const reading = kinds[kind].read(message);
    const gauge = this.#gauge(host, kind, reading.lines.length);
    gauge.reading = reading;
    reading.lines.forEach((value, i) => gauge.series[i].push(message.t, value));
    return true;
  }

  #gauge(host, kind, lines) {
    if (!this.hosts.has(host)) this.hosts.set(host, new Map());
    const gauges = this.hosts.get(host);
    if (!gauges.has(kind)) gauges.set(kind, { reading: null, series: Array.from({ length: lines }, () => new Series(POINTS)) });
    return gauges.get(kind);
  }
}

const share = (part, whole) => (whole > 0 ? `${((part / whole) * 100).toFixed(0)}%` : '–');

/** A number of bytes in the unit that keeps it short: 740 B, 1.2 MiB. */
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; n >= 1000 && unit < units.length - 1; unit++) n /= 1024;
  return `${n.toFixed(unit === 0 || n >= 100 ? 0 : 1)} ${units[unit]}`;
}
