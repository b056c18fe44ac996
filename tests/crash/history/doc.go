// Package history records the messages that the clients of a crash test sent, the acknowledgements and the
// deliveries, and computes the missing ones. It does not trust the broker's own reports, and shares no code with it.
//
// The promises, and the faults:
//
//   - An acknowledged message (PUBACK, or PUBREC, after which the sender may forget it [MQTT-4.3.3]) arrives at every
//     subscription whose SUBACK came before the message was first sent. Otherwise it is lost.
//   - A message delivered with QoS 2 arrives once. Otherwise it came twice.
//   - A publisher's messages to a topic with one QoS arrive for the first time in their order
//     [MQTT-4.6.0-6]; resent messages may repeat earlier ones.
//   - A group of a shared subscription is one subscription, whichever member receives.
//   - An acknowledged retained message is there at the end, or a later one of its topic.
//   - Every delivery is a sent message, with its topic and payload.
package history
