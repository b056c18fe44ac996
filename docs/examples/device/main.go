// Command device is a thermometer that loses nothing: it keeps its session, says with its will that it is gone, and
// sends each reading with QoS 1.
package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func main() {
	o := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:1883").
		SetClientID("cellar").SetCleanSession(false).
		SetUsername("cellar").SetPassword(os.Getenv("OUTCRY_TOKEN")).
		SetWill("sensors/cellar/state", "gone", 1, true).
		SetConnectRetry(true)
	o.OnConnect = func(c mqtt.Client) { c.Publish("sensors/cellar/state", 1, true, "here") }
	c := mqtt.NewClient(o)
	if t := c.Connect(); t.Wait() && t.Error() != nil {
		log.Fatal(t.Error())
	}
	for range time.Tick(time.Second) {
		reading := fmt.Sprintf(`{"celsius":%.1f}`, 12+rand.Float64())
		if t := c.Publish("sensors/cellar/temperature", 1, false, reading); t.Wait() && t.Error() != nil {
			log.Print(t.Error())
		}
	}
}
