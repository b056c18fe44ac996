package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// NoSuch returns the error for an argument of a command without arguments.
func NoSuch(cmd *cobra.Command, args []string) error {
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

// ExplainFlag adds suggestions and a reference to help to an error of flags.
func ExplainFlag(cmd *cobra.Command, err error) error {
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
