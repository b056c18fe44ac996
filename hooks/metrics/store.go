package metrics

// storeValues are the store's metrics without labels, except storeDuration.
var storeValues = []value[StoreStats]{
	counter("outcry_store_commits_total", "Transactions that were written and synced.",
		func(s *StoreStats) float64 { return float64(s.Commits) }),
	counter("outcry_store_ops_total", "Changes that were written.",
		func(s *StoreStats) float64 { return float64(s.Ops) }),
	counter("outcry_store_written_bytes_total", "Bytes of keys and values that were written.",
		func(s *StoreStats) float64 { return float64(s.Bytes) }),
	counter("outcry_store_failures_total", "Transactions that failed.",
		func(s *StoreStats) float64 { return float64(s.Failures) }),
	counter("outcry_store_refused_total", "Groups of changes that were refused, because too much was waiting or the disk was failing.",
		func(s *StoreStats) float64 { return float64(s.Refused) }),
	counter("outcry_store_dropped_total", "Write-behind changes that were dropped, because too much was waiting.",
		func(s *StoreStats) float64 { return float64(s.Dropped) }),
	gauge("outcry_store_pending_ops", "Changes that wait to be written.",
		func(s *StoreStats) float64 { return float64(s.Pending) }),
	gauge("outcry_store_pending_bytes", "Bytes of the changes that wait to be written.",
		func(s *StoreStats) float64 { return float64(s.PendingBytes) }),
	gauge("outcry_store_file_bytes", "The size of the store's file.",
		func(s *StoreStats) float64 { return float64(s.FileBytes) }),
}

var storeDuration = describe("outcry_store_commit_seconds", "Time that a transaction took, its sync included.")
