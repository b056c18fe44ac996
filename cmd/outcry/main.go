// Command outcry is an MQTT broker for live dashboards, chats and devices, with its tools: clients, tokens, simulated
// devices. Its commands are in the folders below.
package main

import (
	"context"
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/program"
)

func main() {
	os.Exit(program.Run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
