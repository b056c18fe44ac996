package main

import (
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/cobra"
)

// defaultConfig is the file that is read without --config, if it is there.
const defaultConfig = "config.yaml"

// configFlags say which configuration a command uses.
type configFlags struct {
	file string
	none bool
	sets []string
}

func (f *configFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.file, "config", "", "configuration (default: "+defaultConfig+" if there is one)")
	fs.BoolVar(&f.none, "no-config", false, "use the defaults, even if there is a "+defaultConfig)
	fs.StringArrayVar(&f.sets, "set", nil, "set one value of the configuration, such as log.level=debug; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("set", completeSet) // it fails only if there is no such flag
}

// completeSet completes the keys of the configuration.
func completeSet(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	paths := config.Paths()
	for i := range paths {
		paths[i] += "="
	}
	return paths, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// options returns what to load.
func (f *configFlags) options() (config.Options, error) {
	o := config.Options{File: f.file, Environ: os.Environ()}
	if _, err := os.Stat(defaultConfig); f.file == "" && !f.none && err == nil {
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
