package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Outcry is an MQTT broker for screens and things: browsers over WebSocket, devices over TCP, scripts.

Start one with devices that have something to say, and open the address that it prints:

  outcry serve --demo`

const rootExample = `  outcry serve --config config.yaml
  outcry token --user alice --rooms lobby,traders --ttl 1h
  outcry sub -t 'ticker/#' -v --token-file data/guest.jwt
  outcry pub -t chat/lobby/say -m '{"text":"hello"}' --token-file data/guest.jwt
  outcry check config.yaml`

func newRootCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "outcry",
		Short:         "MQTT broker for screens and things",
		Long:          rootLong,
		Example:       rootExample,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, cmd.CommandPath())
	})
	cmd.AddCommand(
		newServeCommand(),
		newCheckCommand(),
		newTokenCommand(),
		newPasswdCommand(),
		newPubCommand(),
		newSubCommand(),
		newSimulateCommand(),
		newVersionCommand(),
	)
	return cmd
}

// noSuchCommand is what an argument to outcry itself means.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		text += "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return fmt.Errorf("%s\nsee outcry --help", text)
}
