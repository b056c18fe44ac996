package config

import (
	"reflect"
	"slices"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
)

// TestLimitsReachTheBroker gives every limit a number of its own: it is the broker's limit of that name, and no limit of the broker is
// left out.
func TestLimitsReachTheBroker(t *testing.T) {
	l := Limits{Overflow: "disconnect", ControlCharacters: "allow", Exempt: []string{"192.0.2.0/24"}}
	next := 0
	l.each(new(broker.Limits), func(_ field, mine, _ reflect.Value) {
		next++
		if mine.Kind() == reflect.Float64 {
			mine.SetFloat(float64(next))
		} else {
			mine.SetInt(int64(next))
		}
	})
	b := l.Broker()
	if b.Overflow != broker.OverflowDisconnect || !b.AllowControls || len(b.Guard.Exempt) != 1 {
		t.Errorf("%v, %v, %v", b.Overflow, b.AllowControls, b.Guard.Exempt)
	}
	if b.ConnectTimeout != l.ConnectTimeout || b.MaxShareGroups != l.MaxShareGroups || b.Guard.BytesPerSecond != float64(l.AddressByteRate) {
		t.Errorf("%+v of %+v", b, l)
	}
	l.each(&b, func(f field, mine, its reflect.Value) {
		want, got := mine.Convert(reflect.TypeFor[float64]()).Float(), its.Convert(reflect.TypeFor[float64]()).Float()
		if want != got {
			t.Errorf("%s: %v, want %v", f.key, got, want)
		}
	})
	elsewhere := []string{"Memory", "MaxStoringBytes", "Guard.MaxRemembered"} // set by other keys, or by none
	check := func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name := prefix + v.Type().Field(i).Name
			if v.Field(i).IsZero() && !slices.Contains(elsewhere, name) {
				t.Errorf("no key sets %s", name)
			}
		}
	}
	check("", reflect.ValueOf(b))
	check("Guard.", reflect.ValueOf(b.Guard))
}

// TestConvertOfLargeNumbers holds that a size beyond the broker's type is its largest number.
func TestConvertOfLargeNumbers(t *testing.T) {
	var to int
	convert(reflect.ValueOf(&to).Elem(), reflect.ValueOf(Size(1<<62)))
	if want := Size(1 << 62).Int(); to != want {
		t.Errorf("%d, want %d", to, want)
	}
}
