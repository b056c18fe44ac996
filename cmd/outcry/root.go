package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
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
	cmd.SetFlagErrorFunc(explainFlag)
	cmd.AddCommand(
		newServeCommand(),
		newCheckCommand(),
		newStoreCommand(),
		newTokenCommand(),
		newACLCommand(),
		newPasswdCommand(),
		newDenyCommand(),
		newPubCommand(),
		newSubCommand(),
		newSimulateCommand(),
		newBenchCommand(),
		newVersionCommand(),
	)
	return cmd
}

// noSuchCommand is what an argument means to a command that takes none.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q", args[0])
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		text += "; did you mean " + strings.Join(meant, " or ") + "?"
	}
	return fmt.Errorf("%s\nsee %s --help", text, cmd.CommandPath())
}

// explainFlag adds to an error of flags what may have been meant, and where to read on.
func explainFlag(cmd *cobra.Command, err error) error {
	text := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && len(unknown.GetSpecifiedName()) > 1 {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if meant := config.Suggest(unknown.GetSpecifiedName(), names); meant != "" {
			text += "; did you mean --" + meant + "?"
		}
	}
	return fmt.Errorf("%s\nsee %s --help", text, cmd.CommandPath())
}
