package main

import (
	"os"

	"github.com/outcry-mqtt/outcry/cmd/outcry/config"
	"github.com/spf13/pflag"
)

// defaultConfig is the file that is read without --config, if it is there.
const defaultConfig = "config.yaml"

// configFlags say which configuration a command uses.
type configFlags struct {
	file string
	none bool
	sets []string
}

func (f *configFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "config", "", "configuration (default: "+defaultConfig+" if there is one)")
	fs.BoolVar(&f.none, "no-config", false, "use the defaults, even if there is a "+defaultConfig)
	fs.StringArrayVar(&f.sets, "set", nil, "set one value of the configuration, such as log.level=debug; may be repeated")
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

// load loads it.
func (f *configFlags) load() (*config.Loaded, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	return config.Load(o)
}
