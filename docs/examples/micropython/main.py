# MicroPython on an ESP32 or a Pico W, with umqtt.simple from micropython-lib (mip.install("umqtt.simple")).
import network, time
from umqtt.simple import MQTTClient

WIFI, WIFI_PASSWORD = "my-network", "its password"
BROKER, USER, TOKEN = "192.168.1.10", "cellar", "the output of: outcry token --user cellar --ttl 720h"

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(WIFI, WIFI_PASSWORD)
while not wlan.isconnected():
    time.sleep(0.2)

client = MQTTClient("cellar", BROKER, user=USER, password=TOKEN, keepalive=60)
client.set_last_will("sensors/cellar/state", "gone", retain=True, qos=1)
client.connect(clean_session=False)
client.publish("sensors/cellar/state", "here", retain=True, qos=1)
while True:
    client.publish("sensors/cellar/temperature", '{"celsius":12.5}', qos=1)
    time.sleep(10)
