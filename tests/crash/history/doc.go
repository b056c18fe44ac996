// Package history keeps what the clients of a crash test sent, were promised and received, and finds out what the broker
// owes them. It believes nothing that the broker says of itself, and knows nothing of its code.
//
// What is promised, and what counts as broken:
//
//   - A message that was acknowledged (PUBACK, or PUBREC: from there the sender may forget it [MQTT-4.3.3]) arrives at every
//     subscription whose SUBACK had come before the message was first sent. If not, it is lost.
//   - What is delivered with QoS 2 arrives once. If not, it came twice.
//   - What a publisher sends to a topic with one QoS arrives in that order the first time that it arrives
//     [MQTT-4.6.0-6]; what is sent again may rewind.
//   - A group of a shared subscription is one subscription, whichever member receives.
//   - A retained message that was acknowledged is there at the end, or a later one of its topic.
//   - Whatever arrives was sent, to that topic, with that payload.
package history
