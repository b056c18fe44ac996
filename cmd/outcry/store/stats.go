package store

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeStatsLong = `Print the content and the size of the store. It reads the whole store. Free pages are
used again before the file grows; outcry store compact removes them.

FILE is a store, such as a backup, or a data folder.

Exit status: 0 done, 1 damaged or not readable, 2 wrong usage.`

const storeStatsExample = `  outcry store stats
  outcry store stats --data /var/lib/outcry --json | jq '.spaces[] | {name, keys}'`

func newStatsCommand() *cobra.Command {
	f, asJSON := &flags{}, false
	cmd := &cobra.Command{
		Use:     "stats [FILE]",
		Short:   "Print the content and the size of the store",
		Long:    storeStatsLong,
		Example: storeStatsExample,
		Args:    usage(oneFile),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.stats(cmd, args, asJSON) },
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, sizes in bytes")
	return cmd
}

func (f *flags) stats(cmd *cobra.Command, args []string, asJSON bool) error {
	ctx, cancel := command.Context(cmd)
	defer cancel()
	path, err := f.path(args)
	if err != nil {
		return err
	}
	p := newProgressLine(cmd, "reading")
	report, err := f.report(ctx, path, "stats", boltstore.CheckOptions{Progress: p.show})
	p.end()
	if err != nil {
		return err
	}
	if asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		err = printStats(cmd.OutOrStdout(), path, report)
	}
	if err != nil {
		return err
	}
	return damaged(path, report)
}

func printStats(w io.Writer, path string, r *boltstore.Report) error {
	fmt.Fprintf(w, "%s, format %d\n", path, r.Format)
	fmt.Fprintf(w, "%s: %s used, %s free (%d and %d pages of %s)\n\n", humanBytes(r.FileBytes), humanBytes(r.UsedBytes()),
		humanBytes(r.FreeBytes()), r.UsedPages, r.FreePages, humanBytes(int64(r.PageBytes)))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "space\tkeys\tsize of keys\tof values\t")
	for _, s := range r.Spaces {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t\n", s.Name, s.Keys, humanBytes(s.KeyBytes), humanBytes(s.ValueBytes))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Largest) > 0 {
		fmt.Fprintln(w, "\nlargest:")
	}
	for _, l := range r.Largest {
		fmt.Fprintf(w, "%10s  %s  %s\n", humanBytes(l.Bytes), l.Space, l.Key)
	}
	return nil
}

// humanBytes formats a size for people.
func humanBytes(n int64) string {
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/(1<<10), 0
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/(1<<10), unit+1
	}
	return fmt.Sprintf("%.3g %s", size, units[unit])
}
