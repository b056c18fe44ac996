package lines_test

import (
	"testing"

	"github.com/outcry-mqtt/outcry/cmd/outcry/outcrytest"
	"github.com/outcry-mqtt/outcry/cmd/outcry/program"
)

func TestMain(m *testing.M) { outcrytest.Main(m, program.Run) }
