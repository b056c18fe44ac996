package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/outcry-mqtt/outcry/broker"
)

// Example runs a broker inside another program, and publishes without a connection.
func Example() {
	b, err := broker.New(broker.Options{})
	if err != nil {
		log.Fatal(err)
	}
	addr, stop := serve(b)
	defer stop()

	heard := make(chan string, 1)
	client := connect(addr)
	client.Subscribe("greetings/#", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }).Wait()
	if err := b.Publish(broker.Message{Topic: "greetings/world", Payload: []byte("hello"), QoS: 1}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-heard)
	client.Disconnect(0)
	// Output: hello
}

// shouting is a hook of one's own: it sees every message before it is routed and may change or refuse it.
type shouting struct{}

// InterceptPublish makes every payload upper case, and refuses an empty one.
func (shouting) InterceptPublish(c *broker.Client, m *broker.Message) error {
	if len(m.Payload) == 0 {
		return &broker.Refusal{Code: broker.CodePayloadFormat, Reason: "say something"}
	}
	m.Payload = bytes.ToUpper(m.Payload)
	return nil
}

// ExamplePublishInterceptor puts a hook into a broker.
func ExamplePublishInterceptor() {
	b, err := broker.New(broker.Options{Hooks: []any{shouting{}}})
	if err != nil {
		log.Fatal(err)
	}
	addr, stop := serve(b)
	defer stop()

	heard := make(chan string, 1)
	client := connect(addr)
	client.Subscribe("room", 0, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }).Wait()
	client.Publish("room", 1, false, "hear me").Wait()
	fmt.Println(<-heard)
	client.Disconnect(0)
	// Output: HEAR ME
}

// serve runs a broker that listens on a free port, until stop is called: listening is the program's, the rest is Run's.
func serve(b *broker.Broker) (addr string, stop func()) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	go accept(b, ln)
	return ln.Addr().String(), func() {
		_ = ln.Close()
		cancel()
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
	}
}

// accept hands every connection to the broker until the listener is closed.
func accept(b *broker.Broker, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		if err := b.Attach(broker.Conn{Conn: conn, Listener: "tcp"}); err != nil {
			log.Print(err)
		}
	}
}

func connect(addr string) mqtt.Client {
	client := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetAutoReconnect(false))
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		log.Fatal(token.Error())
	}
	return client
}
