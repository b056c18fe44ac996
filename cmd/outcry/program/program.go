// Package program is the whole program: all its commands, run with given arguments and streams. The commands are in
// their own packages.
package program

import (
	"context"
	"io"

	"github.com/outcry-mqtt/outcry/cmd/outcry/access"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/cmd/outcry/load"
	"github.com/outcry-mqtt/outcry/cmd/outcry/messages"
	"github.com/outcry-mqtt/outcry/cmd/outcry/server"
	"github.com/outcry-mqtt/outcry/cmd/outcry/store"
	"github.com/spf13/cobra"
)

const rootLong = `Outcry is an MQTT broker for live dashboards, chats and devices: browsers over WebSocket,
devices over TCP, scripts.

Start a broker with simulated devices, and open the link that it prints:

  outcry serve --demo`

const rootExample = `  outcry serve --config config.yaml
  outcry token --user alice --rooms lobby,traders --ttl 1h
  outcry sub -t 'ticker/#' -v --token-file data/guest.jwt
  outcry pub -t chat/lobby/say -m '{"text":"hello"}' --token-file data/guest.jwt
  outcry check config.yaml`

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "outcry",
		Short:         "MQTT broker for live dashboards, chats and devices",
		Long:          rootLong,
		Example:       rootExample,
		Args:          command.NoSuch,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // Run prints them
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(command.ExplainFlag)
	cmd.Version = command.ReadVersion().String()
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.AddCommand(
		server.NewServeCommand(),
		server.NewCheckCommand(),
		store.NewCommand(),
		access.NewTokenCommand(),
		access.NewACLCommand(),
		access.NewPasswdCommand(),
		access.NewDenyCommand(),
		messages.NewPubCommand(),
		messages.NewSubCommand(),
		load.NewSimulateCommand(),
		load.NewBenchCommand(),
		command.NewVersionCommand(),
	)
	return cmd
}

// Run runs one command and returns the exit status.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return command.ExitCode(root.ExecuteContext(ctx), stderr)
}
