package store

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/cmd/outcry/command"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
	"github.com/spf13/cobra"
)

const storeDropSessionLong = `Delete the session of a client identifier from the store: its subscriptions, its queue,
its messages in flight in both directions, and its will, which is not published. The
messages are lost. This cannot be undone.

A running broker ends the session: it closes the connection (reason code 0x98), and
messages of shared subscriptions go to other members. The client may reconnect at once,
with a new session.

Exit status: 0 done, 1 nothing deleted, 2 wrong usage.`

const storeDropSessionExample = `  outcry store drop-session sensor-17
  outcry store drop-session sensor-17 --data /var/lib/outcry
  outcry store drop-session -- -x`

func newDropSessionCommand() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "drop-session CLIENT-ID",
		Short:   "Delete a client's session",
		Long:    storeDropSessionLong,
		Example: storeDropSessionExample,
		Args: usage(func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("write %s CLIENT-ID\nsee %s --help", cmd.CommandPath(), cmd.CommandPath())
			}
			return nil
		}),
		RunE: func(cmd *cobra.Command, args []string) error { return f.dropSession(cmd, args[0]) },
	}
	f.register(cmd)
	return cmd
}

func (f *flags) dropSession(cmd *cobra.Command, id string) error {
	ctx, cancel := command.Context(cmd)
	defer cancel()
	path, err := f.path(nil)
	if err != nil {
		return err
	}
	err = f.do(path, func() error { return dropSession(path, id) }, func(c *brokerClient) error {
		_, err := c.askAbout(ctx, "drop-session", url.Values{clientQuery: {id}}, func(int64, int64) {})
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: session %q dropped\n", path, id)
	return err
}

// dropSession deletes a session from a store that is not open.
func dropSession(path, id string) error {
	snap, err := boltstore.OpenSnapshot(path) // Open would create the file
	if err != nil {
		return err
	}
	if err := snap.Close(); err != nil {
		return err
	}
	store, err := boltstore.Open(boltstore.Options{Path: path})
	if err != nil {
		return err
	}
	if err := errors.Join(storage.DropSession(store, id), store.Close()); err != nil {
		return fmt.Errorf("session %q not dropped: %w", id, err)
	}
	return nil
}
