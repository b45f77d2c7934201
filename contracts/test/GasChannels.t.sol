// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {ChannelsFixture} from "./ChannelsFixture.sol";

/// @notice What paying through channels costs, each act as a transaction of its own (intrinsic gas, calldata and
/// EIP-7623's floor included), written to snapshots/gas.json. The hub, the payer and the receiver have been there
/// before: another channel has been deposited to, claimed and settled.
contract GasChannelsTest is ChannelsFixture {
    uint256 private constant CALLS = 1000;
    uint128 private constant PRICE = 2_000;

    function setUp() public override {
        super.setUp();
        Channels.ChannelConfig memory other = _config(uint256(keccak256("before")));
        _deposit(other, 100e6, 1);
        _claim(other, 1e6);
        hub.settle(receiver, address(token));
    }

    function _note(string memory act) private returns (uint256) {
        return vm.snapshotGasLastCall("gas", act);
    }

    /// @dev Salts and keys as clients draw them, so that calldata costs what it will cost.
    function _opened(uint256 i) private returns (Channels.ChannelConfig memory config, uint256 gas) {
        config = _config(uint256(keccak256(abi.encode("channel", i))));
        _deposit(config, uint128(CALLS) * PRICE, uint256(keccak256(abi.encode("deposit", i))));
        gas = _note("channel deposit, EIP-3009, first");
    }

    function _batch(uint256 count) private returns (Channels.VoucherClaim[] memory rows) {
        rows = new Channels.VoucherClaim[](count);
        for (uint256 i = 0; i < count; ++i) {
            (Channels.ChannelConfig memory config,) = _opened(i);
            rows[i] = _row(config, uint128(CALLS) * PRICE, uint128(CALLS) * PRICE);
        }
    }

    function test_gas_of_a_call_by_voucher() public {
        Channels.VoucherClaim[] memory rows = _batch(100);
        (, uint256 opening) = _opened(100);
        _claim(rows);
        uint256 claiming = _note("channel claim, 100 vouchers") / 100;
        vm.snapshotValue("gas", "voucher_claim_batch100", claiming);
        hub.settle(receiver, address(token));
        uint256 settling = _note("channel settle") / 100;
        vm.snapshotValue("gas", "call_amortised_1000", (opening + claiming + settling + CALLS - 1) / CALLS);
    }

    function test_gas_of_smaller_claims() public {
        _claim(_batch(1));
        _note("channel claim, 1 voucher");
        Channels.VoucherClaim[] memory rows = new Channels.VoucherClaim[](10);
        for (uint256 i = 0; i < 10; ++i) {
            (Channels.ChannelConfig memory config,) = _opened(1 + i);
            rows[i] = _row(config, 1e6, 1e6);
        }
        _claim(rows);
        _note("channel claim, 10 vouchers");
    }

    function test_gas_of_a_top_up() public {
        (Channels.ChannelConfig memory config,) = _opened(0);
        _deposit(config, 1e6, 2);
        _note("channel deposit, EIP-3009, later");
    }

    function test_gas_of_a_deposit_by_permit2() public {
        vm.prank(payer);
        token.approve(0x000000000022D473030F116dDEE9F6B43aC78BA3, type(uint256).max);
        Channels.ChannelConfig memory config = _config(7);
        bytes memory data = _permit(PAYER_KEY, _id(config), address(token), 2e6, 1, "");
        hub.deposit(config, 2e6, PERMIT2_COLLECTOR, data);
        _note("channel deposit, Permit2, first");
    }

    function test_gas_of_going_back() public {
        (Channels.ChannelConfig memory config,) = _opened(0);
        bytes[] memory calls = new bytes[](2);
        Channels.VoucherClaim[] memory rows = _rows(_row(config, 1e6, 1e6));
        bytes memory signature = _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows));
        calls[0] = abi.encodeCall(hub.claimWithSignature, (rows, signature));
        calls[1] = abi.encodeCall(hub.refundWithSignature, (config, 1e6, 0, _refundSignature(config, 1e6, 0)));
        hub.multicall(calls);
        _note("channel refund with claim");
        (config,) = _opened(1);
        vm.prank(payer);
        hub.initiateWithdraw(config, 1e6);
        _note("channel initiateWithdraw");
        vm.warp(block.timestamp + DELAY);
        vm.prank(payer);
        hub.finalizeWithdraw(config);
        _note("channel finalizeWithdraw");
    }
}
