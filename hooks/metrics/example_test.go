package metrics_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func ExampleNew() {
	registry := prometheus.NewRegistry()
	stats := func() broker.Stats { return broker.Stats{Retained: 500} } // a Broker's Stats method
	if _, err := metrics.New(metrics.Options{Registerer: registry, Stats: stats}); err != nil {
		fmt.Println(err)
		return
	}
	operator := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer operator.Close()

	response, err := http.Get(operator.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	page, _ := io.ReadAll(response.Body)
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "outcry_broker_retained_messages") {
			fmt.Print(line)
		}
	}
	// Output: outcry_broker_retained_messages 500
}
