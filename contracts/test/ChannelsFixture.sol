// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Channels} from "../src/Channels.sol";
import {Erc3009Collector} from "../src/Erc3009Collector.sol";
import {Multicall3} from "../src/Multicall3.sol";
import {PayToken} from "../src/PayToken.sol";
import {Permit2} from "../src/Permit2.sol";
import {Permit2Collector} from "../src/Permit2Collector.sol";
import {UptoProxy} from "../src/UptoProxy.sol";
import {CHANNELS, PERMIT2} from "../src/Addresses.sol";
import {Cheats} from "./Cheats.sol";

/// @notice The cheat codes that these tests need beside the common ones.
interface Places {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function etch(address target, bytes calldata code) external;
    function getBlockTimestamp() external view returns (uint256);
}

/// @notice x402's contracts at their addresses on the embedded chain, and a payer with money.
abstract contract ChannelsFixture is Cheats {
    Places internal constant places = Places(address(vm));

    bytes32 internal constant RECEIVE = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 internal constant DEPOSIT_WITNESS = keccak256("DepositWitness(bytes32 channelId)");
    bytes32 internal constant DEPOSIT_PERMIT = keccak256(
        "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,DepositWitness witness)DepositWitness(bytes32 channelId)TokenPermissions(address token,uint256 amount)"
    );
    bytes32 internal constant TOKEN_PERMISSIONS = keccak256("TokenPermissions(address token,uint256 amount)");

    uint256 internal constant CHAIN = 0x726f6461;
    uint256 internal constant START = 1_700_000_000;
    uint40 internal constant DELAY = 900;
    uint256 internal constant PAYER_KEY = 0xADA;
    uint256 internal constant VOUCHER_KEY = 0xF00D;
    uint256 internal constant AUTHORIZER_KEY = 0xA117;
    uint256 internal constant STRANGER_KEY = 0x57A;

    address internal constant ERC3009_COLLECTOR = 0x4020806089470a89826cB9fB1f4059150b550004;
    address internal constant PERMIT2_COLLECTOR = 0x4020425FAf3B746C082C2f942b4E5159887B0005;
    address internal constant UPTO_PROXY = 0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002;
    address internal constant MULTICALL3 = 0xcA11bde05977b3631167028862bE2a173976CA11;
    Channels internal constant hub = Channels(CHANNELS);

    address internal immutable payer = vm.addr(PAYER_KEY);
    address internal immutable vouchers = vm.addr(VOUCHER_KEY);
    address internal immutable authorizer = vm.addr(AUTHORIZER_KEY);
    address internal immutable stranger = vm.addr(STRANGER_KEY);
    address internal immutable receiver = vm.addr(0x7EA5);

    PayToken internal token;

    function setUp() public virtual {
        vm.chainId(CHAIN);
        vm.warp(START);
        places.etch(CHANNELS, type(Channels).runtimeCode);
        places.etch(ERC3009_COLLECTOR, type(Erc3009Collector).runtimeCode);
        places.etch(PERMIT2_COLLECTOR, type(Permit2Collector).runtimeCode);
        places.etch(PERMIT2, type(Permit2).runtimeCode);
        places.etch(UPTO_PROXY, type(UptoProxy).runtimeCode);
        places.etch(MULTICALL3, type(Multicall3).runtimeCode);
        token = new PayToken(address(this));
        token.drip(payer, 1_000_000e6);
        token.drip(stranger, 1_000_000e6);
    }

    function _config(uint256 salt) internal view returns (Channels.ChannelConfig memory) {
        return Channels.ChannelConfig(payer, vouchers, receiver, authorizer, address(token), DELAY, bytes32(salt));
    }

    function _id(Channels.ChannelConfig memory config) internal view returns (bytes32) {
        return hub.getChannelId(config);
    }

    function _sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev What the ERC-3009 collector needs to bring `amount` of `key`'s money into the channel `id`.
    function _authorisation(uint256 key, bytes32 id, uint256 amount, uint256 salt)
        internal
        view
        returns (bytes memory)
    {
        bytes32 nonce = keccak256(abi.encode(id, salt));
        bytes32 signed =
            keccak256(abi.encode(RECEIVE, vm.addr(key), ERC3009_COLLECTOR, amount, 0, type(uint256).max, nonce));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), signed));
        return abi.encode(0, type(uint256).max, salt, _sign(key, digest));
    }

    /// @dev What the Permit2 collector needs to bring `amount` of `key`'s money into the channel `id`.
    function _permit(uint256 key, bytes32 id, address of_, uint256 amount, uint256 nonce, bytes memory permit2612)
        internal
        view
        returns (bytes memory)
    {
        bytes32 signed = keccak256(
            abi.encode(
                DEPOSIT_PERMIT,
                keccak256(abi.encode(TOKEN_PERMISSIONS, of_, amount)),
                PERMIT2_COLLECTOR,
                nonce,
                block.timestamp,
                keccak256(abi.encode(DEPOSIT_WITNESS, id))
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", Permit2(PERMIT2).DOMAIN_SEPARATOR(), signed));
        return abi.encode(nonce, block.timestamp, _sign(key, digest), permit2612);
    }

    function _deposit(Channels.ChannelConfig memory config, uint128 amount, uint256 salt) internal {
        hub.deposit(config, amount, ERC3009_COLLECTOR, _authorisation(PAYER_KEY, _id(config), amount, salt));
    }

    function _row(Channels.ChannelConfig memory config, uint128 most, uint128 total)
        internal
        view
        returns (Channels.VoucherClaim memory)
    {
        return _rowBy(VOUCHER_KEY, config, most, total);
    }

    function _rowBy(uint256 key, Channels.ChannelConfig memory config, uint128 most, uint128 total)
        internal
        view
        returns (Channels.VoucherClaim memory)
    {
        bytes memory signature = _sign(key, hub.getVoucherDigest(_id(config), most));
        return Channels.VoucherClaim(Channels.Voucher(config, most), signature, total);
    }

    function _rows(Channels.VoucherClaim memory row) internal pure returns (Channels.VoucherClaim[] memory rows) {
        rows = new Channels.VoucherClaim[](1);
        rows[0] = row;
    }

    function _rows(Channels.VoucherClaim memory first, Channels.VoucherClaim memory second)
        internal
        pure
        returns (Channels.VoucherClaim[] memory rows)
    {
        rows = new Channels.VoucherClaim[](2);
        (rows[0], rows[1]) = (first, second);
    }

    function _claim(Channels.VoucherClaim[] memory rows) internal {
        hub.claimWithSignature(rows, _sign(AUTHORIZER_KEY, hub.getClaimBatchDigest(rows)));
    }

    function _claim(Channels.ChannelConfig memory config, uint128 total) internal {
        _claim(_rows(_row(config, total, total)));
    }

    function _refundSignature(Channels.ChannelConfig memory config, uint128 amount, uint256 nonce)
        internal
        view
        returns (bytes memory)
    {
        return _sign(AUTHORIZER_KEY, hub.getRefundDigest(_id(config), nonce, amount));
    }
}
