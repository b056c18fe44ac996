package command

import (
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
)

// defaultConfig is read without --config, if it exists.
const defaultConfig = "config.yaml"

// ConfigFlags select a command's configuration.
type ConfigFlags struct {
	File string
	none bool
	sets []string
}

// Register registers the flags on a command.
func (f *ConfigFlags) Register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.File, "config", "", "configuration file (default: "+defaultConfig+" if it exists)")
	fs.BoolVar(&f.none, "no-config", false, "use the defaults, even if "+defaultConfig+" exists")
	fs.StringArrayVar(&f.sets, "set", nil, "override a key, such as log.level=debug; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("set", completeSet) // it fails only if there is no such flag
}

// completeSet completes configuration keys.
func completeSet(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	paths := config.Paths()
	for i := range paths {
		paths[i] += "="
	}
	return paths, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// Options returns the options to load the configuration with.
func (f *ConfigFlags) Options() (config.Options, error) {
	o := config.Options{File: f.File, Environ: os.Environ()}
	if _, err := os.Stat(defaultConfig); f.File == "" && !f.none && err == nil {
		o.File = defaultConfig
	}
	for _, text := range f.sets {
		set, err := config.ParseSet("--set", text)
		if err != nil {
			return o, err
		}
		o.Sets = append(o.Sets, set)
	}
	return o, nil
}
