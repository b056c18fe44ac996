// Package clients contains tests of the whole program with popular clients: mosquitto_pub, mosquitto_sub and
// mosquitto_rr, Eclipse Paho for MQTT 3.1.1 and 5, WebSockets and bare sockets. Each test starts the real binary.
package clients
