package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/outcry-mqtt/outcry/broker/storage"
	"github.com/outcry-mqtt/outcry/hooks/boltstore"
)

func ExampleOpen() {
	folder, err := os.MkdirTemp("", "outcry")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)

	store, err := boltstore.Open(boltstore.Options{Path: filepath.Join(folder, "outcry.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	// A broker does this when it is given the store: broker.New(broker.Options{Store: store}).
	synced := make(chan error)
	op := storage.Op{Space: storage.SpaceRetained, Key: "ticker/ACME", Value: []byte("123.45")}
	store.Commit([]storage.Op{op}, func(err error) { synced <- err })
	fmt.Println("synced, with the error", <-synced)
	store.Load(storage.SpaceRetained, func(topic string, value []byte) error {
		fmt.Println(topic, string(value))
		return nil
	})
	// Output:
	// synced, with the error <nil>
	// ticker/ACME 123.45
}
