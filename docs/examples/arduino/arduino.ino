// Arduino (ESP32) with the libraries WiFi and PubSubClient; on an ESP8266 include ESP8266WiFi.h in place of WiFi.h.
#include <WiFi.h>
#include <PubSubClient.h>

const char *TOKEN = "the output of: outcry token --user cellar --ttl 720h";

WiFiClient net;
PubSubClient mqtt("192.168.1.10", 1883, net);

void setup() {
  WiFi.begin("my-network", "its password");
  mqtt.setBufferSize(1024); // a token is longer than the 256 bytes that it has room for
}

void loop() {
  if (WiFi.status() == WL_CONNECTED && !mqtt.connected()) {
    // client id, user, password, will topic, will QoS, will retain, will message, clean session
    if (mqtt.connect("cellar", "cellar", TOKEN, "sensors/cellar/state", 1, true, "gone", false)) {
      mqtt.publish("sensors/cellar/state", "here", true);
    }
  }
  mqtt.loop();
  static unsigned long last = 0;
  if (mqtt.connected() && millis() - last > 10000) {
    last = millis();
    mqtt.publish("sensors/cellar/temperature", "{\"celsius\":12.5}");
  }
  delay(10);
}
