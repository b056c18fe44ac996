package rules

import (
	"encoding/json"
	"strconv"
)

// claimIs is a condition: the claim is the value, or a list that contains it.
type claimIs struct{ name, value string }

func (c claimIs) holds(claims map[string]any) bool { return contains(claims[c.name], c.value) }

// contains reports whether a claim is text, or a list that contains it. It does not allocate.
func contains(claim any, text string) bool {
	switch list := claim.(type) {
	case []string:
		for _, member := range list {
			if member == text {
				return true
			}
		}
		return false
	case []any:
		for _, member := range list {
			if formatsAs(member, text) {
				return true
			}
		}
		return false
	}
	return formatsAs(claim, text)
}

// formatsAs reports whether a scalar formats as text.
func formatsAs(value any, text string) bool {
	if s, ok := value.(string); ok {
		return s == text
	}
	var buffer [32]byte
	written, ok := appendScalar(buffer[:0], value)
	return ok && string(written) == text
}

// appendScalar appends a scalar's text. Lists, objects and null are not scalars.
func appendScalar(to []byte, value any) ([]byte, bool) {
	switch v := value.(type) {
	case string:
		return append(to, v...), true
	case json.Number:
		return append(to, v...), true
	case bool:
		return strconv.AppendBool(to, v), true
	case int:
		return strconv.AppendInt(to, int64(v), 10), true
	case int64:
		return strconv.AppendInt(to, v, 10), true
	case float64:
		return strconv.AppendFloat(to, v, 'f', -1, 64), true
	}
	return to, false
}

// hasLevel reports whether a claim has a value that can stand for a topic level.
func hasLevel(claim any, first bool) bool {
	switch list := claim.(type) {
	case []string:
		for _, member := range list {
			if isLevel(member, first) {
				return true
			}
		}
		return false
	case []any:
		for _, member := range list {
			if isScalarLevel(member, first) {
				return true
			}
		}
		return false
	}
	return isScalarLevel(claim, first)
}

func isScalarLevel(value any, first bool) bool {
	if s, ok := value.(string); ok {
		return isLevel(s, first)
	}
	var buffer [32]byte
	written, ok := appendScalar(buffer[:0], value)
	return ok && isLevel(string(written), first)
}

// isLevel reports whether a client's value may stand for one topic level. A value that could reach beyond the level,
// or at the first level into the server's topics, may not.
func isLevel(value string, first bool) bool {
	for i := range len(value) {
		switch value[i] {
		case '/', '+', '#', 0:
			return false
		}
	}
	return value != "" && !(first && value[0] == '$')
}
