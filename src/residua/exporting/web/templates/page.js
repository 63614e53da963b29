"use strict";

{% include "resize.js" %}

{% include "device.js" %}

{% include "classify.js" %}
